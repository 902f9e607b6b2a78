//! Settings of each family's table, out of configuration, manifests and facts.

use crate::agent::facts::NodeFacts;
use crate::agent::node::{detector, node_port_cidrs, own_node};
use crate::config::{NodePortSelector, ProxyConfig};
use crate::model::{NodePortAddresses, Snapshot};
use crate::translate::nftables::NftablesOptions;

/// One set of options for each family the node speaks.
///
/// Unless told otherwise, node ports answer on the address of the Node object only: kube-proxy's
/// default in this mode is `primary`. Without a Node object nobody knows which address that is, and
/// all of them answer, as kube-proxy's do then.
#[must_use]
pub fn nftables_options(
    snapshot: &Snapshot,
    config: &ProxyConfig,
    facts: &NodeFacts,
) -> Vec<NftablesOptions> {
    let node = own_node(snapshot, config, &facts.local_addresses);
    let unset = config.node_port_addresses == NodePortSelector::Cidrs(Vec::new());
    let cidrs = match snapshot.nodes.get(&config.node_name) {
        Some(node) if unset => NodePortAddresses::primary_cidrs(node),
        _ => node_port_cidrs(config, &node),
    };
    let service_cidrs = if snapshot.service_cidrs.is_empty() {
        &config.service_cidrs
    } else {
        &snapshot.service_cidrs
    };
    let options = |family| NftablesOptions {
        masquerade_bit: config.masquerade_bit,
        masquerade_all: config.masquerade_all,
        local_detector: detector(config, &node, family),
        node_port_addresses: NodePortAddresses::resolve(&cidrs, &facts.local_addresses, family),
        service_cidrs: service_cidrs.clone(),
        ..NftablesOptions::new(family, node.clone())
    };
    facts.families.iter().copied().map(options).collect()
}

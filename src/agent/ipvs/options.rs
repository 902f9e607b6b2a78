//! Settings of each family, out of configuration, manifests and facts.

use crate::agent::facts::NodeFacts;
use crate::agent::node::{detector, node_port_cidrs, own_node};
use crate::config::ProxyConfig;
use crate::model::{IpFamily, NodePortAddresses, Snapshot};
use crate::translate::ipvs::IpvsOptions;
use crate::translate::nftables::NftablesOptions;

/// One set of options for each family the node speaks. Unless told otherwise, node ports answer on
/// all addresses, as kube-proxy's do in this mode.
#[must_use]
pub fn ipvs_options(
    snapshot: &Snapshot,
    config: &ProxyConfig,
    facts: &NodeFacts,
) -> Vec<IpvsOptions> {
    let node = own_node(snapshot, config, &facts.local_addresses);
    let cidrs = node_port_cidrs(config, &node);
    let options = |family| {
        let local = facts.local_addresses.iter().copied();
        IpvsOptions {
            rules: NftablesOptions {
                masquerade_bit: config.masquerade_bit,
                masquerade_all: config.masquerade_all,
                local_detector: detector(config, &node, family),
                node_port_addresses: NodePortAddresses::resolve(
                    &cidrs,
                    &facts.local_addresses,
                    family,
                ),
                service_cidrs: config.service_cidrs.clone(),
                ..NftablesOptions::new(family, node.clone())
            },
            scheduler: config.ipvs.scheduler.clone(),
            excluded: config.ipvs.excluded.clone(),
            local_addresses: local.filter(|ip| IpFamily::of(*ip) == family).collect(),
        }
    };
    facts.families.iter().copied().map(options).collect()
}

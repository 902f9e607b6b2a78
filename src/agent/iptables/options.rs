//! Settings of each family's rules, out of configuration, manifests and facts.

use crate::agent::facts::{NodeFacts, Prerequisites};
use crate::agent::node::{detector, node_port_cidrs, own_node};
use crate::config::ProxyConfig;
use crate::model::{IpFamily, NodePortAddresses, Snapshot};
use crate::translate::iptables::{IptablesOptions, NfacctObjects};

/// One set of options for each family the node speaks.
#[must_use]
pub fn iptables_options(
    snapshot: &Snapshot,
    config: &ProxyConfig,
    facts: &NodeFacts,
) -> Vec<IptablesOptions> {
    let node = own_node(snapshot, config, &facts.local_addresses);
    let cidrs = node_port_cidrs(config, &node);
    let options = |family| IptablesOptions {
        family,
        masquerade_bit: config.masquerade_bit,
        masquerade_all: config.masquerade_all,
        local_detector: detector(config, &node, family),
        localhost_node_ports: config.localhost_node_ports
            && NodePortAddresses::include_ipv4_loopback(&cidrs),
        node_port_addresses: NodePortAddresses::resolve(&cidrs, &facts.local_addresses, family),
        nfacct: facts.nfacct,
        tcp_be_liberal: facts.tcp_be_liberal,
        ..IptablesOptions::new(family, node.clone())
    };
    facts.families.iter().copied().map(options).collect()
}

/// What else these options need of the kernel.
#[must_use]
pub fn prerequisites(options: &[IptablesOptions]) -> Prerequisites {
    let ipv4 = options
        .iter()
        .find(|options| options.family == IpFamily::V4);
    Prerequisites {
        nfacct: options
            .first()
            .map_or_else(NfacctObjects::default, |options| options.nfacct),
        route_localnet: ipv4.is_some_and(|options| options.localhost_node_ports),
        ..Prerequisites::default()
    }
}

//! Settings of each family's rules, out of configuration, manifests and facts.

use std::net::IpAddr;

use super::facts::{NodeFacts, Prerequisites};
use crate::config::{DetectLocal, NodePortSelector, ProxyConfig};
use crate::model::{IpFamily, Node, NodePortAddresses, Snapshot};
use crate::translate::iptables::{IptablesOptions, LocalDetector, NfacctObjects};

/// The node that rules are made for: its Node object, or where the manifests have none, a node of
/// that name with the addresses of this machine.
#[must_use]
pub fn own_node(snapshot: &Snapshot, config: &ProxyConfig, local: &[IpAddr]) -> Node {
    snapshot
        .nodes
        .get(&config.node_name)
        .cloned()
        .unwrap_or_else(|| Node {
            name: config.node_name.clone(),
            addresses: local.iter().copied().filter(|ip| is_global(*ip)).collect(),
            ..Node::default()
        })
}

/// Usable from other machines: neither loopback nor link-local.
fn is_global(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    }
}

/// One set of options for each family the node speaks.
#[must_use]
pub fn iptables_options(
    snapshot: &Snapshot,
    config: &ProxyConfig,
    facts: &NodeFacts,
) -> Vec<IptablesOptions> {
    let node = own_node(snapshot, config, &facts.local_addresses);
    let cidrs = match &config.node_port_addresses {
        NodePortSelector::Cidrs(cidrs) => cidrs.clone(),
        NodePortSelector::Primary => NodePortAddresses::primary_cidrs(&node),
    };
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

fn detector(config: &ProxyConfig, node: &Node, family: IpFamily) -> LocalDetector {
    match &config.detect_local {
        DetectLocal::ClusterCidr(cidrs) => LocalDetector::first_cidr(cidrs, family),
        DetectLocal::NodeCidr => LocalDetector::first_cidr(&node.pod_cidrs, family),
        DetectLocal::BridgeInterface(name) => LocalDetector::BridgeInterface(name.clone()),
        DetectLocal::InterfaceNamePrefix(prefix) => LocalDetector::InterfacePrefix(prefix.clone()),
    }
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
    }
}

//! The node that rules are made for, and what configuration means on it: the same for all modes.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::{DetectLocal, NodePortSelector, ProxyConfig};
use crate::model::{IpFamily, Node, NodePortAddresses, Snapshot};
use crate::translate::iptables::LocalDetector;

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

/// The CIDRs of `--nodeport-addresses`; none means all addresses.
#[must_use]
pub fn node_port_cidrs(config: &ProxyConfig, node: &Node) -> Vec<IpNet> {
    match &config.node_port_addresses {
        NodePortSelector::Cidrs(cidrs) => cidrs.clone(),
        NodePortSelector::Primary => NodePortAddresses::primary_cidrs(node),
    }
}

/// How traffic of this node's pods is told from other traffic, in one family.
#[must_use]
pub fn detector(config: &ProxyConfig, node: &Node, family: IpFamily) -> LocalDetector {
    match &config.detect_local {
        DetectLocal::ClusterCidr(cidrs) => LocalDetector::first_cidr(cidrs, family),
        DetectLocal::NodeCidr => LocalDetector::first_cidr(&node.pod_cidrs, family),
        DetectLocal::BridgeInterface(name) => LocalDetector::BridgeInterface(name.clone()),
        DetectLocal::InterfaceNamePrefix(prefix) => LocalDetector::InterfacePrefix(prefix.clone()),
    }
}

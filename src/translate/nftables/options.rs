//! How a node's nftables table is to be: kube-proxy's settings, resolved for one family.

use ipnet::IpNet;

use crate::model::{IpFamily, Node, NodePortAddresses};
use crate::translate::iptables::LocalDetector;

/// The settings that shape the table of one family on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NftablesOptions {
    /// The family the table is for.
    pub family: IpFamily,
    /// The node it is for: its name, zone and addresses count.
    pub node: Node,
    /// `nftables.masqueradeBit`, 0 to 31: the bit of the packet mark that asks for masquerading.
    pub masquerade_bit: u8,
    /// `nftables.masqueradeAll`: masquerade all traffic to cluster IPs.
    pub masquerade_all: bool,
    /// The detector of this family.
    pub local_detector: LocalDetector,
    /// `nodePortAddresses`, resolved for this family.
    pub node_port_addresses: NodePortAddresses,
    /// Ranges that cluster IPs are allocated from, both families, where known.
    pub service_cidrs: Vec<IpNet>,
}

impl NftablesOptions {
    /// kube-proxy's defaults, without a detector.
    #[must_use]
    pub fn new(family: IpFamily, node: Node) -> Self {
        Self {
            family,
            node,
            masquerade_bit: 14,
            masquerade_all: false,
            local_detector: LocalDetector::None,
            node_port_addresses: NodePortAddresses::All,
            service_cidrs: Vec::new(),
        }
    }

    /// The packet mark that asks for masquerading.
    #[must_use]
    pub fn masquerade_mark(&self) -> u32 {
        1_u32.wrapping_shl(u32::from(self.masquerade_bit))
    }
}

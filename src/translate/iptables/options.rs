//! How a node's iptables rules are to be: kube-proxy's settings, resolved for one family.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::IpNet;

use crate::model::{IpFamily, Node, NodePortAddresses};
use crate::plan::xtables::rule::{InterfaceMatch, Maybe, XtRule};

/// How traffic of pods on this node is told from other traffic (`--detect-local-mode`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LocalDetector {
    /// Not at all: rules that would need it are left out.
    #[default]
    None,
    /// By source address: `ClusterCIDR`, or `NodeCIDR` with the node's own pod CIDR.
    Cidr(IpNet),
    /// By the bridge that packets of pods come from: `BridgeInterface`.
    BridgeInterface(Arc<str>),
    /// By the beginning of the interface's name: `InterfaceNamePrefix`.
    InterfacePrefix(Arc<str>),
}

impl LocalDetector {
    /// The detector for a list of CIDRs: the first of the family counts, as in kube-proxy.
    #[must_use]
    pub fn first_cidr(cidrs: &[IpNet], family: IpFamily) -> Self {
        cidrs
            .iter()
            .find(|cidr| IpFamily::of(cidr.addr()) == family)
            .map_or(Self::None, |cidr| Self::Cidr(cidr.trunc()))
    }

    /// Limits a rule to traffic that is local (or, with `local` false, is not).
    ///
    /// `None` if there is no detector, and so no such rule. A CIDR that holds every address makes
    /// all traffic local; the kernel refuses the negated comparison, so that rule is left out.
    pub(super) fn limit(&self, local: bool, mut rule: XtRule) -> Option<XtRule> {
        let interface = |name: &Arc<str>, prefix| Maybe {
            not: !local,
            value: InterfaceMatch {
                name: name.clone(),
                prefix,
            },
        };
        match self {
            Self::None => return None,
            Self::Cidr(cidr) if cidr.prefix_len() == 0 => return local.then_some(rule),
            Self::Cidr(cidr) => {
                rule.source = Some(Maybe {
                    not: !local,
                    value: *cidr,
                });
            }
            Self::BridgeInterface(name) => rule.in_interface = Some(interface(name, false)),
            Self::InterfacePrefix(prefix) => rule.in_interface = Some(interface(prefix, true)),
        }
        Some(rule)
    }
}

/// Which of kube-proxy's two nfacct objects exist in the kernel and may be named by rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NfacctObjects {
    /// [`Self::CT_STATE_INVALID`] is usable.
    pub ct_state_invalid: bool,
    /// [`Self::LOCALHOST_NODE_PORTS`] is usable.
    pub localhost_node_ports: bool,
}

impl NfacctObjects {
    /// Counts packets dropped because their connection state was invalid.
    pub const CT_STATE_INVALID: &'static str = "ct_state_invalid_dropped_pkts";
    /// Counts packets to node ports on localhost.
    pub const LOCALHOST_NODE_PORTS: &'static str = "localhost_nps_accepted_pkts";

    /// Both usable: a kernel with nfacct.
    #[must_use]
    pub fn both() -> Self {
        Self {
            ct_state_invalid: true,
            localhost_node_ports: true,
        }
    }
}

/// The settings that shape the rules of one family on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IptablesOptions {
    /// The family the rules are for.
    pub family: IpFamily,
    /// The node they are for: its name, zone and addresses count.
    pub node: Node,
    /// `iptables.masqueradeBit`, 0 to 31: the bit of the packet mark that asks for masquerading.
    pub masquerade_bit: u8,
    /// `iptables.masqueradeAll`: masquerade all traffic to cluster IPs.
    pub masquerade_all: bool,
    /// The detector of this family.
    pub local_detector: LocalDetector,
    /// `iptables.localhostNodePorts`, and [`NodePortAddresses::include_ipv4_loopback`]. Means
    /// nothing in IPv6.
    pub localhost_node_ports: bool,
    /// `nodePortAddresses`, resolved for this family.
    pub node_port_addresses: NodePortAddresses,
    /// MASQUERADE with fully random source ports; every kernel of today can.
    pub random_fully: bool,
    /// Usable nfacct objects.
    pub nfacct: NfacctObjects,
    /// Sysctl `net.netfilter.nf_conntrack_tcp_be_liberal` is on: packets in state INVALID are
    /// then let through.
    pub tcp_be_liberal: bool,
}

impl IptablesOptions {
    /// kube-proxy's defaults, without a detector and without nfacct.
    #[must_use]
    pub fn new(family: IpFamily, node: Node) -> Self {
        Self {
            family,
            node,
            masquerade_bit: 14,
            masquerade_all: false,
            local_detector: LocalDetector::None,
            localhost_node_ports: true,
            node_port_addresses: NodePortAddresses::All,
            random_fully: true,
            nfacct: NfacctObjects::default(),
            tcp_be_liberal: false,
        }
    }

    /// The packet mark that asks for masquerading.
    #[must_use]
    pub fn masquerade_mark(&self) -> u32 {
        1_u32.wrapping_shl(u32::from(self.masquerade_bit))
    }

    /// Node ports answer on 127.0.0.0/8. IPv6 has no `route_localnet`, so never there.
    pub(super) fn localhost_node_ports(&self) -> bool {
        self.localhost_node_ports && self.family == IpFamily::V4
    }

    /// The node's own address; loopback where the Node object lists none, as kube-proxy assumes.
    pub(super) fn node_ip(&self) -> IpAddr {
        self.node.address(self.family).unwrap_or(match self.family {
            IpFamily::V4 => Ipv4Addr::LOCALHOST.into(),
            IpFamily::V6 => Ipv6Addr::LOCALHOST.into(),
        })
    }
}

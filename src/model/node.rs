//! The node that rules are made for.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::IpNet;

use super::IpFamily;

/// A Node object, as far as Services need it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// `metadata.name`, lower case.
    pub name: Arc<str>,
    /// Label `topology.kubernetes.io/zone`.
    pub zone: Option<Arc<str>>,
    /// `status.addresses` that are IPs: all `InternalIP`s first, then all `ExternalIP`s.
    pub addresses: Vec<IpAddr>,
    /// `spec.podCIDRs`.
    pub pod_cidrs: Vec<IpNet>,
    /// It is being deleted: `metadata.deletionTimestamp`, or the taint by which the cluster
    /// autoscaler announces it (KEP-3836). Balancers are to send it nothing new.
    pub leaving: bool,
}

impl Node {
    /// The node's address in a family: the first listed, as kube-proxy chooses.
    #[must_use]
    pub fn address(&self, family: IpFamily) -> Option<IpAddr> {
        self.addresses
            .iter()
            .copied()
            .find(|ip| IpFamily::of(*ip) == family)
    }
}

/// `--nodeport-addresses` for one family, resolved against the node's interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodePortAddresses {
    /// Every local address accepts node-port traffic (no CIDR given, or a /0).
    All,
    /// Only these local addresses do.
    Only(Vec<IpAddr>),
}

impl NodePortAddresses {
    /// Resolves `--nodeport-addresses` for one family.
    ///
    /// `cidrs` may hold both families; those of the other are left aside, and if none remains
    /// every local address counts, as it does from the first /0 on. `local` are the addresses of
    /// the node's interfaces; the result holds those within a CIDR, sorted and each once.
    #[must_use]
    pub fn resolve(cidrs: &[IpNet], local: &[IpAddr], family: IpFamily) -> Self {
        let cidrs: Vec<&IpNet> = cidrs
            .iter()
            .filter(|cidr| IpFamily::of(cidr.addr()) == family)
            .collect();
        if cidrs.is_empty() || cidrs.iter().any(|cidr| cidr.prefix_len() == 0) {
            return Self::All;
        }
        let within: BTreeSet<IpAddr> = local
            .iter()
            .copied()
            .filter(|ip| cidrs.iter().any(|cidr| cidr.contains(ip)))
            .collect();
        Self::Only(within.into_iter().collect())
    }

    /// Whether these CIDRs let node ports answer on 127.0.0.0/8: one condition of kube-proxy's
    /// localhost node ports (the other is `iptables.localhostNodePorts`).
    #[must_use]
    pub fn include_ipv4_loopback(cidrs: &[IpNet]) -> bool {
        let mut ipv4 = cidrs.iter().filter_map(|cidr| match cidr {
            IpNet::V4(cidr) => Some(cidr),
            IpNet::V6(_) => None,
        });
        let loopback_net = Ipv4Addr::new(127, 0, 0, 0);
        let mut given = false;
        let included = ipv4.any(|cidr| {
            given = true;
            cidr.addr().is_loopback() || cidr.contains(&loopback_net)
        });
        included || !given
    }

    /// The CIDRs that the value `primary` stands for: the node's own address of each family.
    ///
    /// Loopback addresses are left out; an empty result means every local address.
    #[must_use]
    pub fn primary_cidrs(node: &Node) -> Vec<IpNet> {
        IpFamily::ALL
            .into_iter()
            .filter_map(|family| node.address(family))
            .filter(|ip| !ip.is_loopback())
            .map(IpNet::from)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn node_ports_answer_on_every_address_unless_cidrs_of_the_family_say_otherwise() {
        type Case<'a> = (&'a [&'a str], IpFamily, Option<&'a [&'a str]>);
        let local = ips(&["127.0.0.1", "192.168.0.2", "10.0.0.9", "fd00::2"]);
        let table: [Case; 6] = [
            (&[], IpFamily::V4, None),
            (&["fd00::/64"], IpFamily::V4, None),
            (&["192.168.0.0/24", "0.0.0.0/0"], IpFamily::V4, None),
            (&["192.168.0.0/24"], IpFamily::V4, Some(&["192.168.0.2"])),
            (
                &["192.168.0.0/24", "192.168.0.2/32", "10.0.0.0/8"],
                IpFamily::V4,
                Some(&["10.0.0.9", "192.168.0.2"]),
            ),
            (&["2001:db8::/32", "10.0.0.0/8"], IpFamily::V6, Some(&[])),
        ];
        for (cidrs, family, expected) in table {
            let resolved = NodePortAddresses::resolve(&nets(cidrs), &local, family);
            let expected = expected.map_or(NodePortAddresses::All, |list| {
                NodePortAddresses::Only(ips(list))
            });
            assert_eq!(resolved, expected, "{cidrs:?} {family}");
        }
    }

    #[test]
    fn localhost_counts_where_a_cidr_holds_it_or_none_is_given() {
        let table: [(&[&str], bool); 7] = [
            (&[], true),
            (&["fd00::/64"], true),
            (&["0.0.0.0/0"], true),
            (&["127.0.0.1/32"], true),
            (&["127.0.0.0/8", "192.168.0.0/16"], true),
            (&["192.168.0.0/16"], false),
            (&["192.168.0.0/16", "126.0.0.0/7"], true),
        ];
        for (cidrs, expected) in table {
            assert_eq!(
                NodePortAddresses::include_ipv4_loopback(&nets(cidrs)),
                expected,
                "{cidrs:?}"
            );
        }
    }

    #[test]
    fn primary_means_the_first_address_of_each_family() {
        let node = Node {
            addresses: ips(&["192.168.0.2", "192.168.1.2", "2001:db8::1"]),
            ..Node::default()
        };
        assert_eq!(
            NodePortAddresses::primary_cidrs(&node),
            nets(&["192.168.0.2/32", "2001:db8::1/128"])
        );
        let loopback_only = Node {
            addresses: ips(&["127.0.0.1"]),
            ..Node::default()
        };
        assert_eq!(NodePortAddresses::primary_cidrs(&loopback_only), []);
    }
}

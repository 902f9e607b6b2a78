//! The node that rules are made for.

use std::net::IpAddr;
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

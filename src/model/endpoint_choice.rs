//! Which endpoints a service port sends to on this node: readiness, traffic policies, topology
//! hints and the fall-back to terminating endpoints.

use std::net::{IpAddr, SocketAddr};

use super::{EndpointSlice, Node, ProxiedPort};

/// An endpoint of one service port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointAddress {
    /// Address and port; displays as Go's `JoinHostPort` does (`10.0.0.1:80`, `[fd00::1]:80`).
    pub socket: SocketAddr,
    /// On this node.
    pub local: bool,
    /// `conditions.ready`.
    pub ready: bool,
    /// `conditions.serving`.
    pub serving: bool,
    /// `conditions.terminating`.
    pub terminating: bool,
    /// Zones the slice controller gave this endpoint to.
    pub zone_hints: Vec<std::sync::Arc<str>>,
    /// Nodes the slice controller gave this endpoint to.
    pub node_hints: Vec<std::sync::Arc<str>>,
}

impl EndpointAddress {
    /// The address without its port.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.socket.ip()
    }
}

/// The endpoints a service port uses on this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointChoice {
    /// For policy `Cluster`.
    pub cluster: Vec<EndpointAddress>,
    /// For policy `Local`.
    pub local: Vec<EndpointAddress>,
    /// Every endpoint that some rule may send to.
    pub reachable: Vec<EndpointAddress>,
    /// There is a usable endpoint somewhere: decides between REJECT and DROP.
    pub has_any: bool,
}

/// All endpoints of a service port in its family, without duplicates, in the order rules have:
/// lexicographic by `address:port` text.
#[must_use]
pub fn endpoints_of(
    port: &ProxiedPort,
    slices: &[EndpointSlice],
    node_name: &str,
) -> Vec<EndpointAddress> {
    let _ = (port, slices, node_name);
    Vec::new()
}

/// Chooses among all endpoints of a service port.
#[must_use]
pub fn choose_endpoints(
    port: &ProxiedPort,
    endpoints: &[EndpointAddress],
    node: &Node,
) -> EndpointChoice {
    let _ = (port, endpoints, node);
    EndpointChoice::default()
}

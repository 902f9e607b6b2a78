//! Which endpoints a service port sends to on this node: readiness, traffic policies, topology
//! hints and the fall-back to terminating endpoints.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::{Endpoint, EndpointSlice, IpFamily, Node, ProxiedPort};

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
    pub zone_hints: Vec<Arc<str>>,
    /// Nodes the slice controller gave this endpoint to.
    pub node_hints: Vec<Arc<str>>,
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
/// lexicographic by `address:port` text (`10.0.0.10:80` before `10.0.0.2:80`).
///
/// `slices` are the Service's own. A slice's port belongs to the service port of the same name and
/// protocol, whatever its number. Where two slices list the same address, the later one counts,
/// unless it is terminating: a new pod may have taken over a terminating pod's address.
#[must_use]
pub fn endpoints_of(
    port: &ProxiedPort,
    slices: &[EndpointSlice],
    node_name: &str,
) -> Vec<EndpointAddress> {
    let family = IpFamily::of(port.cluster_ip);
    let mut by_text: BTreeMap<Box<str>, EndpointAddress> = BTreeMap::new();
    for slice in slices.iter().filter(|slice| slice.family == family) {
        let numbers = slice
            .ports
            .iter()
            .filter(|p| p.port != 0 && p.name == port.name.port && p.protocol == port.name.protocol)
            .map(|p| p.port);
        for number in numbers {
            for endpoint in &slice.endpoints {
                if IpFamily::of(endpoint.address) != family {
                    continue;
                }
                let address = endpoint_address(endpoint, number, node_name);
                match by_text.entry(address.socket.to_string().into()) {
                    Entry::Vacant(entry) => {
                        entry.insert(address);
                    }
                    Entry::Occupied(mut entry) if !address.terminating => {
                        entry.insert(address);
                    }
                    Entry::Occupied(_) => {}
                }
            }
        }
    }
    by_text.into_values().collect()
}

/// An endpoint at a port. A node without a name has no endpoint of its own.
fn endpoint_address(endpoint: &Endpoint, port: u16, node_name: &str) -> EndpointAddress {
    EndpointAddress {
        socket: SocketAddr::new(endpoint.address, port),
        local: !node_name.is_empty() && endpoint.node_name.as_deref() == Some(node_name),
        ready: endpoint.ready,
        serving: endpoint.serving,
        terminating: endpoint.terminating,
        zone_hints: endpoint.zone_hints.clone(),
        node_hints: endpoint.node_hints.clone(),
    }
}

/// Chooses among all endpoints of a service port (`endpoints` as [`endpoints_of`] gives them).
///
/// Ready endpoints come first in every scope; only where a scope has none do endpoints that are
/// terminating but still serving stand in, independently for the cluster and for this node.
/// Topology hints narrow the cluster-wide list only.
#[must_use]
pub fn choose_endpoints(
    port: &ProxiedPort,
    endpoints: &[EndpointAddress],
    node: &Node,
) -> EndpointChoice {
    if endpoints.is_empty() {
        return EndpointChoice::default();
    }
    let topology = if port.uses_cluster_endpoints() {
        Topology::of(endpoints, node)
    } else {
        Topology::Everywhere
    };
    let cluster = if port.uses_cluster_endpoints() {
        cluster_endpoints(endpoints, &topology)
    } else {
        Vec::new()
    };
    if !port.uses_local_endpoints() {
        return EndpointChoice {
            has_any: !cluster.is_empty(),
            local: Vec::new(),
            reachable: cluster.clone(),
            cluster,
        };
    }
    let (local, local_is_fallback) = local_endpoints(endpoints);
    let reachable = if !port.uses_cluster_endpoints() {
        local.clone()
    } else if topology == Topology::Everywhere && !local_is_fallback {
        // Ready local endpoints are among the ready endpoints of the cluster.
        cluster.clone()
    } else {
        union(&cluster, &local)
    };
    EndpointChoice {
        has_any: endpoints.iter().any(|e| e.ready || e.stands_in()),
        cluster,
        local,
        reachable,
    }
}

impl EndpointAddress {
    /// May be used where nothing is ready.
    fn stands_in(&self) -> bool {
        self.serving && self.terminating
    }
}

/// How topology hints narrow the cluster-wide list.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Topology {
    /// Not at all.
    Everywhere,
    /// Endpoints meant for this node.
    SameNode(Arc<str>),
    /// Endpoints meant for this zone.
    SameZone(Arc<str>),
}

impl Topology {
    /// Hints count only if every ready endpoint has some and at least one is meant for us;
    /// anything less would leave the node without endpoints while hints are being rolled out.
    fn of(endpoints: &[EndpointAddress], node: &Node) -> Self {
        let ready = || endpoints.iter().filter(|e| e.ready);
        let usable = |hints: fn(&EndpointAddress) -> &[Arc<str>], place: &Arc<str>| {
            ready().all(|e| !hints(e).is_empty()) && ready().any(|e| hints(e).contains(place))
        };
        if usable(|e| &e.node_hints, &node.name) {
            return Self::SameNode(node.name.clone());
        }
        match &node.zone {
            Some(zone) if usable(|e| &e.zone_hints, zone) => Self::SameZone(zone.clone()),
            _ => Self::Everywhere,
        }
    }

    fn includes(&self, endpoint: &EndpointAddress) -> bool {
        match self {
            Self::Everywhere => true,
            Self::SameNode(node) => endpoint.node_hints.contains(node),
            Self::SameZone(zone) => endpoint.zone_hints.contains(zone),
        }
    }
}

fn cluster_endpoints(endpoints: &[EndpointAddress], topology: &Topology) -> Vec<EndpointAddress> {
    let ready = select(endpoints, |e| e.ready && topology.includes(e));
    if ready.is_empty() {
        select(endpoints, EndpointAddress::stands_in)
    } else {
        ready
    }
}

/// The endpoints of this node, and whether terminating ones had to stand in.
fn local_endpoints(endpoints: &[EndpointAddress]) -> (Vec<EndpointAddress>, bool) {
    let ready = select(endpoints, |e| e.local && e.ready);
    if ready.is_empty() {
        let standing_in = select(endpoints, |e| e.local && e.stands_in());
        let any = !standing_in.is_empty();
        (standing_in, any)
    } else {
        (ready, false)
    }
}

fn select(
    endpoints: &[EndpointAddress],
    keep: impl Fn(&EndpointAddress) -> bool,
) -> Vec<EndpointAddress> {
    endpoints.iter().filter(|e| keep(e)).cloned().collect()
}

/// Both lists without duplicates. kube-proxy leaves the order open; ours is that of the rules.
fn union(cluster: &[EndpointAddress], local: &[EndpointAddress]) -> Vec<EndpointAddress> {
    let mut merged: BTreeMap<String, &EndpointAddress> = BTreeMap::new();
    for endpoint in cluster.iter().chain(local) {
        merged
            .entry(endpoint.socket.to_string())
            .or_insert(endpoint);
    }
    merged.into_values().cloned().collect()
}

#[cfg(test)]
mod choice_tests;
#[cfg(test)]
mod collection_tests;

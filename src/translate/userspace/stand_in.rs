//! A Service as the rules see it: with the agent in place of its endpoints.

use std::net::SocketAddr;

use super::fronts::{FrontId, Scope};
use crate::model::{Endpoint, EndpointPort, EndpointSlice, NamespacedName, Service};

/// A node name that no Node has.
const NO_NODE: &str = "-";

/// The Service without what the agent does in place of rules.
#[must_use]
pub fn service(service: &Service) -> Service {
    Service {
        affinity_seconds: None,
        ..service.clone()
    }
}

/// Slices with the agent's sockets as endpoints: one for each.
///
/// That of [`Scope::Local`] is on this node and the other is not, so that policy Local leads to
/// the one, and drops where there is none. Hints keep policy Cluster to the other.
#[must_use]
pub fn slices<'a>(
    service: &NamespacedName,
    node_name: &str,
    sockets: impl IntoIterator<Item = (&'a FrontId, SocketAddr)>,
) -> Vec<EndpointSlice> {
    let sockets = sockets.into_iter().enumerate();
    let slice = |(index, (front, socket)): (usize, (&FrontId, SocketAddr))| {
        let (node, hint) = match front.scope {
            Scope::Cluster => (None, node_name),
            Scope::Local => (Some(node_name.into()), NO_NODE),
        };
        EndpointSlice {
            name: NamespacedName::new(service.namespace.clone(), format!("agent-{index}")),
            service: service.clone(),
            family: front.family,
            ports: vec![EndpointPort {
                name: front.port.port.clone(),
                protocol: front.port.protocol,
                port: socket.port(),
            }],
            endpoints: vec![Endpoint {
                address: socket.ip(),
                ready: true,
                serving: true,
                terminating: false,
                node_name: node,
                zone: None,
                zone_hints: Vec::new(),
                node_hints: vec![hint.into()],
                hostname: None,
                pod: None,
            }],
        }
    };
    sockets.map(slice).collect()
}

#[cfg(test)]
#[path = "stand_in_tests.rs"]
mod tests;

//! The sockets that a Service needs, and what each of them forwards to.

use std::fmt;
use std::net::SocketAddr;

use crate::model::{
    EndpointAddress, EndpointSlice, IpFamily, Node, Protocol, Service, ServicePortName,
    choose_endpoints, endpoints_of, proxied_ports,
};

/// Which endpoints of a service port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Those of policy `Cluster`.
    Cluster,
    /// Those of policy `Local`: of this node.
    Local,
}

/// Identity of a socket of the agent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrontId {
    /// The service port.
    pub port: ServicePortName,
    /// Family of its clients and endpoints.
    pub family: IpFamily,
    /// Which of its endpoints.
    pub scope: Scope,
}

/// `default/web:http/TCP`, `default/web:http/TCP of this node`.
impl fmt::Display for FrontId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.port, self.port.protocol)?;
        match self.scope {
            Scope::Cluster => Ok(()),
            Scope::Local => f.write_str(" of this node"),
        }
    }
}

/// A socket of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Front {
    /// Which.
    pub id: FrontId,
    /// What it forwards to. May be empty for [`Scope::Cluster`], where it only keeps the port from
    /// counting as one without endpoints.
    pub endpoints: Vec<SocketAddr>,
    /// Seconds of client affinity.
    pub affinity_seconds: Option<u32>,
}

/// The sockets of a Service in these families. A port without usable endpoints has none, so that
/// the rules refuse it; neither has one of SCTP, which is not forwarded.
#[must_use]
pub fn fronts(
    service: &Service,
    slices: &[EndpointSlice],
    node: &Node,
    families: &[IpFamily],
) -> Vec<Front> {
    let mut all = Vec::new();
    for &family in families {
        for port in proxied_ports(service, family) {
            if port.name.protocol == Protocol::Sctp {
                continue;
            }
            let endpoints = endpoints_of(&port, slices, &node.name);
            let choice = choose_endpoints(&port, &endpoints, node);
            let front = |scope, endpoints: &[EndpointAddress]| Front {
                id: FrontId {
                    port: port.name.clone(),
                    family,
                    scope,
                },
                endpoints: endpoints.iter().map(|endpoint| endpoint.socket).collect(),
                affinity_seconds: port.affinity_seconds,
            };
            if choice.has_any {
                all.push(front(Scope::Cluster, &choice.cluster));
            }
            if !choice.local.is_empty() {
                all.push(front(Scope::Local, &choice.local));
            }
        }
    }
    all
}

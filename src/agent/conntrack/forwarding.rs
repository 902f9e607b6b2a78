//! Where the front ends of a Service lead.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::model::{EndpointSlice, IpFamily, Protocol, Service, endpoints_of, proxied_ports};

/// What a connection to a Service is addressed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FrontEnd {
    /// A cluster IP, an external IP or the address of a load balancer.
    Address(Protocol, SocketAddr),
    /// A port of every local address.
    NodePort(Protocol, IpFamily, u16),
}

impl FrontEnd {
    /// The protocol.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        match self {
            Self::Address(protocol, _) | Self::NodePort(protocol, ..) => *protocol,
        }
    }

    /// The family.
    #[must_use]
    pub fn family(&self) -> IpFamily {
        match self {
            Self::Address(_, socket) => IpFamily::of(socket.ip()),
            Self::NodePort(_, family, _) => *family,
        }
    }
}

/// Front ends, and the endpoints that connections to each may lead to, in order.
pub type Forwarding = BTreeMap<FrontEnd, Vec<SocketAddr>>;

/// Where the front ends of a Service lead, as far as they are of these protocols.
///
/// Every endpoint counts that serves, terminating or not, wherever it is: traffic policies and
/// topology decide about new connections and break no old ones (as in kube-proxy).
#[must_use]
pub fn front_ends(
    service: &Service,
    slices: &[EndpointSlice],
    protocols: &[Protocol],
) -> Forwarding {
    let mut forwarding = Forwarding::new();
    if !service
        .ports
        .iter()
        .any(|port| protocols.contains(&port.protocol))
    {
        return forwarding;
    }
    for family in IpFamily::ALL {
        let ports = proxied_ports(service, family);
        for port in ports
            .iter()
            .filter(|port| protocols.contains(&port.name.protocol))
        {
            let endpoints = endpoints_of(port, slices, "");
            let serving = endpoints.iter().filter(|e| e.serving || e.ready);
            let mut endpoints: Vec<SocketAddr> = serving.map(|e| e.socket).collect();
            endpoints.sort_unstable();
            let protocol = port.name.protocol;
            let addresses = [port.cluster_ip].into_iter();
            let addresses = addresses.chain(port.external_ips.iter().copied());
            let addresses = addresses.chain(port.load_balancer_vips.iter().copied());
            let address = |ip| FrontEnd::Address(protocol, SocketAddr::new(ip, port.port));
            let node_port = port.node_port;
            let node_port = node_port.map(|port| FrontEnd::NodePort(protocol, family, port));
            for front_end in addresses.map(address).chain(node_port) {
                forwarding.insert(front_end, endpoints.clone());
            }
        }
    }
    forwarding
}

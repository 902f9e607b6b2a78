//! A service port as one family's rules see it (reference: kube-proxy's `ServicePortInfo`).

use std::net::IpAddr;

use ipnet::IpNet;

use super::{IpFamily, Service, ServicePortName};

/// One service port of one family: a cluster IP and port, and every other front end of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxiedPort {
    /// Identity: Service, port name, protocol.
    pub name: ServicePortName,
    /// The Service's cluster IP in this family.
    pub cluster_ip: IpAddr,
    /// `spec.ports[].port`.
    pub port: u16,
    /// `spec.ports[].nodePort`, whatever the Service's type.
    pub node_port: Option<u16>,
    /// External IPs of this family.
    pub external_ips: Vec<IpAddr>,
    /// Load-balancer addresses of this family whose mode is `VIP`.
    pub load_balancer_vips: Vec<IpAddr>,
    /// Source ranges of this family; empty (no firewall) if any of them was a /0.
    pub source_ranges: Vec<IpNet>,
    /// Seconds of client affinity.
    pub affinity_seconds: Option<u32>,
    /// `internalTrafficPolicy: Local`.
    pub internal_local: bool,
    /// `externalTrafficPolicy: Local`, where the Service can be reached from outside.
    pub external_local: bool,
    /// Health-check node port, for `LoadBalancer` with `externalTrafficPolicy: Local`.
    pub health_check_node_port: Option<u16>,
}

impl ProxiedPort {
    /// Reachable by something other than the cluster IP.
    #[must_use]
    pub fn externally_accessible(&self) -> bool {
        self.node_port.is_some()
            || !self.load_balancer_vips.is_empty()
            || !self.external_ips.is_empty()
    }

    /// Some front end sends to endpoints of the whole cluster.
    #[must_use]
    pub fn uses_cluster_endpoints(&self) -> bool {
        !self.internal_local || self.externally_accessible()
    }

    /// Some front end sends only to endpoints of this node.
    #[must_use]
    pub fn uses_local_endpoints(&self) -> bool {
        self.internal_local || (self.external_local && self.externally_accessible())
    }
}

/// The ports of a Service that get rules in a family; empty if it gets none there.
#[must_use]
pub fn proxied_ports(service: &Service, family: IpFamily) -> Vec<ProxiedPort> {
    let _ = (service, family);
    Vec::new()
}

//! A service port as one family's rules see it (reference: kube-proxy's `ServicePortInfo`).

use std::net::IpAddr;

use ipnet::IpNet;

use super::{IngressMode, IpFamily, Service, ServicePortName, ServiceType, TrafficPolicy};

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

/// The ports of a Service that get rules in a family, in the order of `spec.ports`.
///
/// Empty for a Service that no proxy programs: headless, `ExternalName`, without a cluster IP in
/// this family, or labelled for another proxy (`service.kubernetes.io/service-proxy-name`).
#[must_use]
pub fn proxied_ports(service: &Service, family: IpFamily) -> Vec<ProxiedPort> {
    let Some(cluster_ip) = proxied_cluster_ip(service, family) else {
        return Vec::new();
    };
    let external_ips = of_family(service.external_ips.iter().copied(), family);
    let load_balancer_vips = load_balancer_vips(service, family);
    let source_ranges = source_ranges(service, family);
    let external_local = external_policy_local(service);
    let health_check_node_port = service
        .health_check_node_port
        .filter(|_| external_local && service.service_type == ServiceType::LoadBalancer)
        .filter(|port| *port != 0);
    service
        .ports
        .iter()
        .map(|port| ProxiedPort {
            name: ServicePortName {
                service: service.name.clone(),
                port: port.name.clone(),
                protocol: port.protocol,
            },
            cluster_ip,
            port: port.port,
            node_port: port.node_port.filter(|number| *number != 0),
            external_ips: external_ips.clone(),
            load_balancer_vips: load_balancer_vips.clone(),
            source_ranges: source_ranges.clone(),
            affinity_seconds: service.affinity_seconds,
            internal_local: service.internal_traffic_policy == TrafficPolicy::Local,
            external_local,
            health_check_node_port,
        })
        .collect()
}

/// The address that makes a Service worth programming in a family.
///
/// `ExternalName` gets nothing even if a cluster IP was left over from an earlier type.
fn proxied_cluster_ip(service: &Service, family: IpFamily) -> Option<IpAddr> {
    let skipped = service.other_proxy
        || service.headless
        || service.service_type == ServiceType::ExternalName;
    if skipped {
        None
    } else {
        service.cluster_ip(family)
    }
}

/// Addresses the node answers for: of this family, in mode `VIP`, whatever the Service's type.
fn load_balancer_vips(service: &Service, family: IpFamily) -> Vec<IpAddr> {
    let vips = service
        .ingress
        .iter()
        .filter(|ingress| ingress.ip_mode == IngressMode::Vip)
        .filter_map(|ingress| ingress.ip);
    of_family(vips, family)
}

/// Source ranges of a family.
///
/// A range that holds every address makes the rest pointless, so it empties the list: no firewall.
/// So does a list with ranges of the other family only.
fn source_ranges(service: &Service, family: IpFamily) -> Vec<IpNet> {
    let ranges: Vec<IpNet> = service
        .source_ranges
        .iter()
        .filter(|range| IpFamily::of(range.addr()) == family)
        .map(IpNet::trunc)
        .collect();
    if ranges.iter().any(|range| range.prefix_len() == 0) {
        Vec::new()
    } else {
        ranges
    }
}

/// `externalTrafficPolicy: Local`, which only means something where the Service can be reached
/// from outside. External IPs of either family count.
fn external_policy_local(service: &Service) -> bool {
    let reachable_from_outside = match service.service_type {
        ServiceType::LoadBalancer | ServiceType::NodePort => true,
        ServiceType::ClusterIp => !service.external_ips.is_empty(),
        ServiceType::ExternalName => false,
    };
    reachable_from_outside && service.external_traffic_policy == TrafficPolicy::Local
}

fn of_family(addresses: impl Iterator<Item = IpAddr>, family: IpFamily) -> Vec<IpAddr> {
    addresses
        .filter(|address| IpFamily::of(*address) == family)
        .collect()
}

#[cfg(test)]
#[path = "service_port_tests.rs"]
mod tests;

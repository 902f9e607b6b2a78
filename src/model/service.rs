//! A Service, with the API's defaults applied and its addresses allocated.
//!
//! Holds the fields that some part of portolan reads; everything else of the API object is gone
//! after decoding, so that memory holds only what the model needs.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use super::{IpFamily, NamespacedName, Protocol};

/// `spec.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServiceType {
    /// Reachable inside the cluster at its cluster IP (the default); headless if that is `None`.
    ClusterIp,
    /// Also at a port of every node.
    NodePort,
    /// Also at the addresses an outside balancer gave it.
    LoadBalancer,
    /// A DNS alias; no packets are touched.
    ExternalName,
}

impl ServiceType {
    /// The API's spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIp => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
            Self::ExternalName => "ExternalName",
        }
    }
}

/// `spec.internalTrafficPolicy`, `spec.externalTrafficPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum TrafficPolicy {
    /// All ready endpoints.
    #[default]
    Cluster,
    /// Only endpoints on this node.
    Local,
}

/// `spec.ipFamilyPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum IpFamilyPolicy {
    /// One family.
    #[default]
    SingleStack,
    /// Two where the cluster has two ranges.
    PreferDualStack,
    /// Two, or an error.
    RequireDualStack,
}

/// `spec.trafficDistribution`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrafficDistribution {
    /// `PreferSameZone` and its deprecated name `PreferClose`.
    PreferSameZone,
    /// `PreferSameNode`.
    PreferSameNode,
}

/// `spec.ports[].targetPort`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TargetPort {
    /// A port number.
    Number(u16),
    /// The name of a container port, looked up in each pod.
    Name(Box<str>),
}

/// `spec.ports[]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServicePort {
    /// Name, empty if it has none.
    pub name: Arc<str>,
    /// Protocol, TCP by default.
    pub protocol: Protocol,
    /// Port on every front-end address.
    pub port: u16,
    /// Port of the pods.
    pub target_port: TargetPort,
    /// Port on the nodes, allocated or fixed.
    pub node_port: Option<u16>,
}

/// `status.loadBalancer.ingress[].ipMode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IngressMode {
    /// Packets arrive with the address as destination: the node must answer for it.
    Vip,
    /// The balancer proxies; the node must leave the address alone.
    Proxy,
}

/// `status.loadBalancer.ingress[]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LoadBalancerIngress {
    /// The address, unless the entry has only a host name.
    pub ip: Option<IpAddr>,
    /// Host name, for entries without an address.
    pub hostname: Option<Box<str>>,
    /// How packets for `ip` arrive; `Vip` by default.
    pub ip_mode: IngressMode,
}

/// A Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Namespace and name.
    pub name: NamespacedName,
    /// `spec.type`.
    pub service_type: ServiceType,
    /// `spec.clusterIPs` without `None`; empty while unallocated, for headless and `ExternalName`.
    pub cluster_ips: Vec<IpAddr>,
    /// `spec.clusterIP: None`.
    pub headless: bool,
    /// `spec.ipFamilies`; entry i is the family of `cluster_ips[i]`.
    pub ip_families: Vec<IpFamily>,
    /// `spec.ipFamilyPolicy`, `None` where the manifest does not say.
    pub ip_family_policy: Option<IpFamilyPolicy>,
    /// `spec.ports`.
    pub ports: Vec<ServicePort>,
    /// `spec.selector`; empty if the endpoints are made by someone else.
    pub selector: BTreeMap<Box<str>, Box<str>>,
    /// `spec.externalName`.
    pub external_name: Option<Box<str>>,
    /// `spec.externalIPs`, both families.
    pub external_ips: Vec<IpAddr>,
    /// `status.loadBalancer.ingress`.
    pub ingress: Vec<LoadBalancerIngress>,
    /// `spec.loadBalancerSourceRanges`, normalised to network addresses, both families.
    pub source_ranges: Vec<IpNet>,
    /// `spec.sessionAffinity: ClientIP` with its timeout in seconds.
    pub affinity_seconds: Option<u32>,
    /// `spec.internalTrafficPolicy`.
    pub internal_traffic_policy: TrafficPolicy,
    /// `spec.externalTrafficPolicy`.
    pub external_traffic_policy: TrafficPolicy,
    /// `spec.healthCheckNodePort`, allocated or fixed.
    pub health_check_node_port: Option<u16>,
    /// `spec.allocateLoadBalancerNodePorts`.
    pub allocate_node_ports: bool,
    /// `spec.trafficDistribution`.
    pub traffic_distribution: Option<TrafficDistribution>,
    /// `spec.publishNotReadyAddresses`.
    pub publish_not_ready_addresses: bool,
    /// Carries the label `service.kubernetes.io/service-proxy-name`: another proxy's business.
    pub other_proxy: bool,
    /// `metadata.annotations` that begin with `portolan.dev/`.
    pub annotations: BTreeMap<Box<str>, Box<str>>,
    /// `metadata.creationTimestamp`, RFC 3339, for `get`.
    pub creation_timestamp: Option<Box<str>>,
}

impl Service {
    /// A Service as the API's defaults make it: of type `ClusterIP`, without address, port,
    /// selector or restriction.
    #[must_use]
    pub fn new(name: NamespacedName) -> Self {
        Self {
            name,
            service_type: ServiceType::ClusterIp,
            cluster_ips: Vec::new(),
            headless: false,
            ip_families: Vec::new(),
            ip_family_policy: None,
            ports: Vec::new(),
            selector: BTreeMap::new(),
            external_name: None,
            external_ips: Vec::new(),
            ingress: Vec::new(),
            source_ranges: Vec::new(),
            affinity_seconds: None,
            internal_traffic_policy: TrafficPolicy::Cluster,
            external_traffic_policy: TrafficPolicy::Cluster,
            health_check_node_port: None,
            allocate_node_ports: true,
            traffic_distribution: None,
            publish_not_ready_addresses: false,
            other_proxy: false,
            annotations: BTreeMap::new(),
            creation_timestamp: None,
        }
    }

    /// The cluster IP of a family, if the Service has one.
    ///
    /// Position decides, as in the API: `ip_families[i]` names the family of `cluster_ips[i]`.
    #[must_use]
    pub fn cluster_ip(&self, family: IpFamily) -> Option<IpAddr> {
        self.cluster_ips
            .iter()
            .copied()
            .find(|ip| IpFamily::of(*ip) == family)
    }
}

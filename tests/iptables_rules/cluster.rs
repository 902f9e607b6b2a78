//! Clusters built by hand, in few words.
//!
//! The addresses are those of kube-proxy's own tests: node 192.168.0.2, pods in 10.0.0.0/8,
//! cluster IPs in 172.30.0.0/16, and their IPv6 counterparts.

use std::net::IpAddr;

use portolan::model::{
    Endpoint, EndpointPort, EndpointSlice, IngressMode, IpFamily, LoadBalancerIngress,
    NamespacedName, Node, Protocol, Service, ServicePort, ServiceType, Snapshot, TargetPort,
    TrafficPolicy,
};
use portolan::translate::iptables::{IptablesOptions, LocalDetector, NfacctObjects};

pub(crate) const NODE: &str = "test-node";

pub(crate) fn node() -> Node {
    Node {
        name: NODE.into(),
        zone: None,
        addresses: ["192.168.0.2", "192.168.1.2", "2001:db8::1", "2001:db8:1::2"]
            .map(|ip| ip.parse().unwrap())
            .into(),
        pod_cidrs: Vec::new(),
        leaving: false,
    }
}

/// kube-proxy's defaults with the pods' CIDR as detector and nfacct.
pub(crate) fn options(family: IpFamily) -> IptablesOptions {
    let pods = match family {
        IpFamily::V4 => "10.0.0.0/8",
        IpFamily::V6 => "fd00:10::/64",
    };
    IptablesOptions {
        local_detector: LocalDetector::Cidr(pods.parse().unwrap()),
        nfacct: NfacctObjects::both(),
        ..IptablesOptions::new(family, node())
    }
}

/// A Service and its endpoints.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    service: Service,
    slices: Vec<EndpointSlice>,
}

/// `describe("ns1/svc1", "172.30.0.41")`: a ClusterIP Service without ports.
pub(crate) fn describe(name: &str, cluster_ip: &str) -> Described {
    let (namespace, name) = name.split_once('/').unwrap();
    let service = Service {
        cluster_ips: vec![cluster_ip.parse().unwrap()],
        ..Service::new(NamespacedName::new(namespace, name))
    };
    Described {
        service,
        slices: Vec::new(),
    }
}

impl Described {
    pub(crate) fn tcp(self, name: &str, number: u16) -> Self {
        self.port(name, Protocol::Tcp, number)
    }

    pub(crate) fn port(mut self, name: &str, protocol: Protocol, number: u16) -> Self {
        self.service.ports.push(ServicePort {
            name: name.into(),
            protocol,
            port: number,
            target_port: TargetPort::Number(number),
            node_port: None,
        });
        self
    }

    /// Gives the last port a node port.
    pub(crate) fn node_port(mut self, number: u16) -> Self {
        if self.service.service_type == ServiceType::ClusterIp {
            self.service.service_type = ServiceType::NodePort;
        }
        self.service.ports.last_mut().unwrap().node_port = Some(number);
        self
    }

    pub(crate) fn external_ips(mut self, addresses: &[&str]) -> Self {
        self.service.external_ips = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        self
    }

    /// Makes it a load balancer with these addresses.
    pub(crate) fn vips(mut self, addresses: &[&str]) -> Self {
        self.service.service_type = ServiceType::LoadBalancer;
        self.service.ingress = addresses
            .iter()
            .map(|ip| LoadBalancerIngress {
                ip: Some(ip.parse().unwrap()),
                hostname: None,
                ip_mode: IngressMode::Vip,
            })
            .collect();
        self
    }

    pub(crate) fn source_ranges(mut self, ranges: &[&str]) -> Self {
        self.service.source_ranges = ranges.iter().map(|net| net.parse().unwrap()).collect();
        self
    }

    pub(crate) fn health_check(mut self, number: u16) -> Self {
        self.service.health_check_node_port = Some(number);
        self
    }

    pub(crate) fn external_local(mut self) -> Self {
        self.service.external_traffic_policy = TrafficPolicy::Local;
        self
    }

    pub(crate) fn internal_local(mut self) -> Self {
        self.service.internal_traffic_policy = TrafficPolicy::Local;
        self
    }

    pub(crate) fn affinity(mut self, seconds: u32) -> Self {
        self.service.affinity_seconds = Some(seconds);
        self
    }

    /// Endpoints of every port so far, each at the port's own number.
    pub(crate) fn endpoints(self, endpoints: &[&str]) -> Self {
        let ports: Vec<_> = self
            .service
            .ports
            .iter()
            .map(|p| (p.clone(), p.port))
            .collect();
        self.slice(&ports, endpoints)
    }

    /// Endpoints of the last port only, at another port number.
    pub(crate) fn endpoints_at(self, number: u16, endpoints: &[&str]) -> Self {
        let last = self.service.ports.last().unwrap().clone();
        self.slice(&[(last, number)], endpoints)
    }

    fn slice(mut self, ports: &[(ServicePort, u16)], endpoints: &[&str]) -> Self {
        let endpoints: Vec<Endpoint> = endpoints.iter().map(|words| endpoint(words)).collect();
        let Some(first) = endpoints.first() else {
            return self;
        };
        let number = self.slices.len();
        self.slices.push(EndpointSlice {
            name: NamespacedName::new(
                self.service.name.namespace.clone(),
                format!("{}-{number}", self.service.name.name),
            ),
            service: self.service.name.clone(),
            family: IpFamily::of(first.address),
            ports: ports
                .iter()
                .map(|(port, target)| EndpointPort {
                    name: port.name.clone(),
                    protocol: port.protocol,
                    port: *target,
                })
                .collect(),
            endpoints,
        });
        self
    }
}

/// `10.180.0.1`, then `local`, `unready`, `stopping` (terminating, still serving), `gone`
/// (terminating, no longer serving).
fn endpoint(words: &str) -> Endpoint {
    let has = |word: &str| words.split(' ').any(|w| w == word);
    let address: IpAddr = words.split(' ').next().unwrap().parse().unwrap();
    Endpoint {
        address,
        ready: !has("unready") && !has("stopping") && !has("gone"),
        serving: !has("unready") && !has("gone"),
        terminating: has("stopping") || has("gone"),
        node_name: Some(if has("local") { NODE } else { "other-node" }.into()),
        zone: None,
        zone_hints: Vec::new(),
        node_hints: Vec::new(),
        hostname: None,
        pod: None,
    }
}

pub(crate) fn snapshot(services: impl IntoIterator<Item = Described>) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for Described { service, slices } in services {
        let name = service.name.clone();
        snapshot.slices.insert(name.clone(), slices);
        snapshot.services.insert(name, service);
    }
    snapshot
}

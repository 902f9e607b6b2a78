//! A cluster of any size, in memory, as if its manifests had been parsed.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use portolan::model::{
    Endpoint, EndpointPort, EndpointSlice, IpFamily, NamespacedName, Node, Protocol, Service,
    ServicePort, Snapshot, SnapshotDelta, TargetPort,
};
use portolan::translate::iptables::LocalDetector;
use portolan::translate::nftables::NftablesOptions;

/// Pods count up from here.
const FIRST_POD: u32 = u32::from_be_bytes([10, 0, 0, 1]);
/// Pods that replace others.
const FIRST_CHANGED_POD: u32 = u32::from_be_bytes([10, 120, 0, 1]);
/// Cluster IPs count up from here.
const FIRST_CLUSTER_IP: u32 = u32::from_be_bytes([10, 128, 0, 1]);
/// Endpoints are spread over this many nodes; n0 is the one that rules are made for.
const NODES: u32 = 100;
const NAMESPACE: &str = "bench";

/// Makes Services of one port, each with the same number of endpoints in one slice.
pub(crate) struct Maker {
    endpoints: u32,
    namespace: Arc<str>,
    port: Arc<str>,
    nodes: Vec<Arc<str>>,
}

impl Maker {
    pub(crate) fn new(endpoints: u32) -> Self {
        Self {
            endpoints,
            namespace: NAMESPACE.into(),
            port: "http".into(),
            nodes: (0..NODES).map(|node| format!("n{node}").into()).collect(),
        }
    }

    pub(crate) fn options() -> anyhow::Result<NftablesOptions> {
        let node = Node {
            name: "n0".into(),
            addresses: vec![IpAddr::from([192, 168, 10, 100])],
            ..Node::default()
        };
        Ok(NftablesOptions {
            local_detector: LocalDetector::Cidr("10.0.0.0/9".parse()?),
            service_cidrs: vec!["10.128.0.0/9".parse()?],
            ..NftablesOptions::new(IpFamily::V4, node)
        })
    }

    /// So many Services with their endpoints.
    pub(crate) fn snapshot(&self, services: u32) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for number in 0..services {
            snapshot.apply(self.added(number));
        }
        snapshot
    }

    /// A Service comes, with its endpoints.
    pub(crate) fn added(&self, number: u32) -> SnapshotDelta {
        let service = Service {
            cluster_ips: vec![Ipv4Addr::from(FIRST_CLUSTER_IP + number).into()],
            ip_families: vec![IpFamily::V4],
            ports: vec![ServicePort {
                name: Arc::clone(&self.port),
                protocol: Protocol::Tcp,
                port: 80,
                target_port: TargetPort::Number(8080),
                node_port: None,
            }],
            ..Service::new(self.name(number))
        };
        SnapshotDelta {
            services: [(self.name(number), Some(service))].into(),
            ..self.endpoints(number, None)
        }
    }

    /// A Service goes, with its endpoints.
    pub(crate) fn removed(&self, number: u32) -> SnapshotDelta {
        SnapshotDelta {
            services: [(self.name(number), None)].into(),
            slices: [(self.name(number), Vec::new())].into(),
            ..SnapshotDelta::default()
        }
    }

    /// The endpoints of a Service; with `changed`, one of them has an address of its own, which
    /// differs from change to change.
    pub(crate) fn endpoints(&self, number: u32, changed: Option<u32>) -> SnapshotDelta {
        let endpoints = (0..self.endpoints).map(|endpoint| {
            let pod = FIRST_POD + number * self.endpoints + endpoint;
            let replaced = changed.filter(|change| change % self.endpoints == endpoint);
            let address = replaced.map_or(pod, |change| FIRST_CHANGED_POD + change);
            self.endpoint(Ipv4Addr::from(address))
        });
        let slice = EndpointSlice {
            name: NamespacedName::new(Arc::clone(&self.namespace), format!("web-{number}-a")),
            service: self.name(number),
            family: IpFamily::V4,
            ports: vec![EndpointPort {
                name: Arc::clone(&self.port),
                protocol: Protocol::Tcp,
                port: 8080,
            }],
            endpoints: endpoints.collect(),
        };
        SnapshotDelta {
            slices: [(self.name(number), vec![slice])].into(),
            ..SnapshotDelta::default()
        }
    }

    fn endpoint(&self, address: Ipv4Addr) -> Endpoint {
        let node = usize::try_from(address.to_bits() % NODES).ok();
        Endpoint {
            address: address.into(),
            ready: true,
            serving: true,
            terminating: false,
            node_name: node.and_then(|node| self.nodes.get(node)).cloned(),
            zone: None,
            zone_hints: Vec::new(),
            node_hints: Vec::new(),
            hostname: None,
            pod: None,
        }
    }

    fn name(&self, number: u32) -> NamespacedName {
        NamespacedName::new(Arc::clone(&self.namespace), format!("web-{number}"))
    }
}

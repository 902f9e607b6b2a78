//! Random clusters, and random changes of them: every feature of a Service, in both families, with
//! claims that contradict each other.

use std::collections::BTreeSet;
use std::net::IpAddr;

use portolan::model::{
    Endpoint, EndpointPort, EndpointSlice, IngressMode, IpFamily, LoadBalancerIngress,
    NamespacedName, Protocol, Service, ServicePort, ServiceType, Snapshot, SnapshotDelta,
    TargetPort, TrafficPolicy,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

const SERVICES: u8 = 6;
const ENDPOINTS: u8 = 40;

/// A change of one object.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// The Service is this one.
    Service(u8, Box<Service>),
    /// There is no such Service.
    NoService(u8),
    /// These are its endpoints.
    Endpoints(u8, Vec<EndpointSlice>),
    /// One endpoint of its first slice, counted around, changes.
    Endpoint(u8, u8, Kind),
    /// One endpoint of its first slice goes, if it has any.
    NoEndpoint(u8, u8),
    /// An endpoint joins its first slice.
    NewEndpoint(u8, u8, Kind),
}

/// Conditions of an endpoint, and whether it is on this node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    local: bool,
    ready: bool,
    terminating: bool,
    hint: Option<&'static str>,
}

impl Change {
    fn name(&self) -> NamespacedName {
        match self {
            Self::Service(id, _)
            | Self::NoService(id)
            | Self::Endpoints(id, _)
            | Self::Endpoint(id, ..)
            | Self::NoEndpoint(id, _)
            | Self::NewEndpoint(id, ..) => name(*id),
        }
    }
}

/// Makes the changes, and tells what they touch.
pub(crate) fn change(snapshot: &mut Snapshot, changes: &[Change]) -> BTreeSet<NamespacedName> {
    let mut delta = SnapshotDelta::default();
    for change in changes {
        let name = change.name();
        let present = delta.slices.get(&name).cloned();
        let mut slices = present.unwrap_or_else(|| snapshot.slices_of(&name).to_vec());
        let endpoints = slices.first_mut().map(|slice| &mut slice.endpoints);
        match change {
            Change::Service(_, service) => {
                delta.services.insert(name, Some(service.as_ref().clone()));
                continue;
            }
            Change::NoService(_) => {
                delta.services.insert(name, None);
                continue;
            }
            Change::Endpoints(_, new) => slices.clone_from(new),
            Change::Endpoint(_, index, kind) => {
                if let Some(endpoints) = endpoints.filter(|list| !list.is_empty()) {
                    let index = usize::from(*index) % endpoints.len();
                    let address = endpoints[index].address;
                    endpoints[index] = endpoint(address, *kind);
                }
            }
            Change::NoEndpoint(_, index) => {
                if let Some(endpoints) = endpoints.filter(|list| !list.is_empty()) {
                    endpoints.remove(usize::from(*index) % endpoints.len());
                }
            }
            Change::NewEndpoint(_, number, kind) => {
                if let Some(slice) = slices.first_mut() {
                    let address = address(slice.family, *number);
                    slice.endpoints.push(endpoint(address, *kind));
                }
            }
        }
        delta.slices.insert(name, slices);
    }
    snapshot.apply(delta).services
}

/// Some changes at once.
pub(crate) fn changes() -> impl Strategy<Value = Vec<Change>> {
    let id = || 0..SERVICES;
    let one = prop_oneof![
        3 => id().prop_flat_map(|id| {
            service(id).prop_map(move |service| Change::Service(id, Box::new(service)))
        }),
        1 => id().prop_map(Change::NoService),
        3 => id().prop_flat_map(|id| slices(id).prop_map(move |list| Change::Endpoints(id, list))),
        2 => (id(), any::<u8>(), kind()).prop_map(|(id, n, kind)| Change::Endpoint(id, n, kind)),
        2 => (id(), any::<u8>()).prop_map(|(id, n)| Change::NoEndpoint(id, n)),
        2 => (id(), 0..ENDPOINTS, kind())
            .prop_map(|(id, n, kind)| Change::NewEndpoint(id, n, kind)),
    ];
    proptest::collection::vec(one, 1..4)
}

/// A cluster.
pub(crate) fn cluster() -> impl Strategy<Value = Snapshot> {
    let services = (0..SERVICES).map(|id| (proptest::option::of(service(id)), slices(id)));
    services.collect::<Vec<_>>().prop_map(|services| {
        let mut snapshot = Snapshot::default();
        for (id, (service, slices)) in (0..).zip(services) {
            let new = service.map(|service| Change::Service(id, Box::new(service)));
            let changes: Vec<_> = new
                .into_iter()
                .chain([Change::Endpoints(id, slices)])
                .collect();
            change(&mut snapshot, &changes);
        }
        snapshot
    })
}

fn name(id: u8) -> NamespacedName {
    NamespacedName::new("shop", format!("s{id}"))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn address(family: IpFamily, number: u8) -> IpAddr {
    match family {
        IpFamily::V4 => [10, 233, 64, number].into(),
        IpFamily::V6 => ip(&format!("fd85:ee78:d8a6:8607::{number:x}")),
    }
}

fn service(id: u8) -> impl Strategy<Value = Service> {
    let fronts = (
        // Now and then the address of another Service.
        prop_oneof![5 => Just(id), 1 => 0..SERVICES],
        subsequence(vec!["198.51.100.7", "198.51.100.8", "2001:db8::7"], 0..3),
        proptest::collection::vec(ingress(), 0..3),
        prop_oneof![3 => Just(Vec::new()), 1 => ranges()],
    );
    let behaviour = (
        select(vec![
            ServiceType::ClusterIp,
            ServiceType::ClusterIp,
            ServiceType::NodePort,
            ServiceType::LoadBalancer,
            ServiceType::LoadBalancer,
            ServiceType::ExternalName,
        ]),
        any::<(bool, bool)>(),
        select(vec![None, None, Some(100), Some(200), Some(10_800)]),
        prop_oneof![9 => Just((false, false)), 1 => any::<(bool, bool)>()],
        0..3_u8,
    );
    let ports = proptest::collection::vec(port(), 1..4);
    (fronts, behaviour, ports).prop_map(move |(fronts, behaviour, mut ports)| {
        let (ip_of, external, ingress, ranges) = fronts;
        let (service_type, (internal, outside), affinity, (headless, other), families) = behaviour;
        for (number, port) in ports.iter_mut().enumerate() {
            port.name = format!("p{number}").into();
            if service_type == ServiceType::ClusterIp {
                port.node_port = None;
            }
        }
        let policy = |local| {
            if local {
                TrafficPolicy::Local
            } else {
                TrafficPolicy::Cluster
            }
        };
        let both = [
            ip(&format!("10.233.0.{ip_of}")),
            ip(&format!("fd85::{ip_of:x}")),
        ];
        let cluster_ips = both.iter().skip(usize::from(families == 1));
        let cluster_ips = cluster_ips.take(if families == 2 { 1 } else { 2 });
        let is_balancer = service_type == ServiceType::LoadBalancer;
        Service {
            service_type,
            headless,
            other_proxy: other,
            ip_families: cluster_ips.clone().map(|ip| IpFamily::of(*ip)).collect(),
            cluster_ips: cluster_ips.copied().collect(),
            ports,
            external_ips: external.into_iter().map(ip).collect(),
            ingress: if is_balancer { ingress } else { Vec::new() },
            source_ranges: ranges,
            affinity_seconds: affinity,
            internal_traffic_policy: policy(internal),
            external_traffic_policy: policy(outside),
            ..Service::new(name(id))
        }
    })
}

fn port() -> impl Strategy<Value = ServicePort> {
    let protocol = select(vec![
        Protocol::Tcp,
        Protocol::Tcp,
        Protocol::Udp,
        Protocol::Sctp,
    ]);
    let number = select(vec![80, 443, 5000]);
    let node_port = proptest::option::of(select(vec![30_001, 30_002, 30_003]));
    (protocol, number, node_port).prop_map(|(protocol, port, node_port)| ServicePort {
        name: "".into(),
        protocol,
        port,
        target_port: TargetPort::Number(8080),
        node_port,
    })
}

fn ingress() -> impl Strategy<Value = LoadBalancerIngress> {
    let address = select(vec![
        "203.0.113.1",
        "203.0.113.2",
        "198.51.100.7",
        "2001:db8::1",
    ]);
    let mode = select(vec![IngressMode::Vip, IngressMode::Vip, IngressMode::Proxy]);
    (address, mode).prop_map(|(address, ip_mode)| LoadBalancerIngress {
        ip: Some(ip(address)),
        hostname: None,
        ip_mode,
    })
}

fn ranges() -> impl Strategy<Value = Vec<ipnet::IpNet>> {
    let all = vec![
        "192.0.2.0/24",
        "192.168.0.0/16",
        "10.0.0.1/32",
        "198.51.100.0/24",
        "0.0.0.0/0",
        "2001:db8:1::/64",
        "2001:db8:2::/64",
        "2001:db8:3::/48",
    ];
    subsequence(all, 1..5).prop_map(|ranges| {
        ranges
            .into_iter()
            .map(|range| range.parse().unwrap())
            .collect()
    })
}

fn kind() -> impl Strategy<Value = Kind> {
    let hint = prop_oneof![12 => Just(None), 1 => Just(Some("east")), 1 => Just(Some("west"))];
    let condition = select(vec![
        (true, false),
        (true, false),
        (true, false),
        (false, true),
        (false, false),
    ]);
    (any::<bool>(), condition, hint).prop_map(|(local, (ready, terminating), hint)| Kind {
        local,
        ready,
        terminating,
        hint,
    })
}

fn endpoint(address: IpAddr, kind: Kind) -> Endpoint {
    Endpoint {
        address,
        ready: kind.ready,
        serving: kind.ready || kind.terminating,
        terminating: kind.terminating,
        node_name: Some(if kind.local { "here" } else { "there" }.into()),
        zone: None,
        zone_hints: kind.hint.into_iter().map(Into::into).collect(),
        node_hints: Vec::new(),
        hostname: None,
        pod: None,
    }
}

/// Up to two slices of each family, of all ports; short lists mostly.
fn slices(id: u8) -> impl Strategy<Value = Vec<EndpointSlice>> {
    let count = || prop_oneof![2 => 0..4_usize, 3 => 0..22_usize, 1 => 0..usize::from(ENDPOINTS)];
    let numbers: Vec<u8> = (0..ENDPOINTS).collect();
    let list = count().prop_flat_map(move |count| {
        let kinds = proptest::collection::vec(kind(), count);
        (subsequence(numbers.clone(), count).prop_shuffle(), kinds)
    });
    let ports = (select(vec![8080, 9090]), select(vec![8080, 9090]));
    (proptest::collection::vec(list, 4), ports, any::<bool>()).prop_map(
        move |(lists, (first, second), two)| {
            let families = [IpFamily::V4, IpFamily::V6, IpFamily::V4, IpFamily::V6];
            let lists = lists.into_iter().zip(families).enumerate();
            let slices = lists.take(if two { 4 } else { 2 });
            let slices = slices.map(|(number, ((addresses, kinds), family))| EndpointSlice {
                name: NamespacedName::new("shop", format!("s{id}-{number}")),
                service: name(id),
                family,
                ports: ports_of([first, second]),
                endpoints: addresses
                    .into_iter()
                    .zip(kinds)
                    .map(|(number, kind)| endpoint(address(family, number), kind))
                    .collect(),
            });
            slices.collect()
        },
    )
}

/// The third port of a Service has no endpoints.
fn ports_of(numbers: [u16; 2]) -> Vec<EndpointPort> {
    let protocols = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    let ports = (0..).zip(numbers).flat_map(|(name, port)| {
        protocols.map(move |protocol| EndpointPort {
            name: format!("p{name}").into(),
            protocol,
            port,
        })
    });
    ports.collect()
}

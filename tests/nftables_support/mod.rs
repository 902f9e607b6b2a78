//! Small clusters for tests of the nftables mode.
#![allow(dead_code, reason = "each test uses its part")]
#![allow(
    clippy::unwrap_used,
    reason = "test code, outside of #[test] functions"
)]

pub(crate) mod cluster;
pub(crate) mod kernel;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::IpAddr;

use portolan::model::{
    Endpoint, EndpointPort, EndpointSlice, IngressMode, IpFamily, LoadBalancerIngress,
    NamespacedName, Node, NodePortAddresses, Protocol, Service, ServicePort, ServiceType, Snapshot,
    TargetPort, TrafficPolicy,
};
use portolan::plan::diff::Step;
use portolan::plan::nftables::slots::base_of;
use portolan::plan::nftables::{ElementKey, ElementValue, TablePlan, TableState};
use portolan::plan::op::Op;
use portolan::translate::iptables::LocalDetector;
use portolan::translate::nftables::NftablesOptions;

pub(crate) fn options() -> NftablesOptions {
    options_of(IpFamily::V4)
}

pub(crate) fn options_of(family: IpFamily) -> NftablesOptions {
    let (own, pods, services) = match family {
        IpFamily::V4 => ("192.168.10.100", "10.233.64.0/18", "10.233.0.0/18"),
        IpFamily::V6 => ("2001:db8:1::1", "fd85:ee78:d8a6::/48", "fd85::/108"),
    };
    let node = Node {
        name: "here".into(),
        addresses: vec![own.parse().unwrap()],
        ..Node::default()
    };
    let only = vec![own.parse().unwrap()];
    NftablesOptions {
        local_detector: LocalDetector::Cidr(pods.parse().unwrap()),
        node_port_addresses: NodePortAddresses::Only(only),
        service_cidrs: vec![services.parse().unwrap()],
        ..NftablesOptions::new(family, node)
    }
}

/// A Service of one TCP port.
pub(crate) fn service(name: &str, cluster_ip: &str, port_name: &str, port: u16) -> Service {
    Service {
        name: NamespacedName::new("shop", name),
        service_type: ServiceType::ClusterIp,
        cluster_ips: vec![cluster_ip.parse().unwrap()],
        headless: false,
        ip_families: vec![IpFamily::V4],
        ip_family_policy: None,
        ports: vec![ServicePort {
            name: port_name.into(),
            protocol: Protocol::Tcp,
            port,
            target_port: TargetPort::Number(8080),
            node_port: None,
        }],
        selector: std::collections::BTreeMap::new(),
        external_name: None,
        external_ips: Vec::new(),
        ingress: Vec::new(),
        source_ranges: Vec::new(),
        affinity_seconds: None,
        internal_traffic_policy: TrafficPolicy::Cluster,
        external_traffic_policy: TrafficPolicy::Cluster,
        health_check_node_port: None,
        allocate_node_ports: true,
        annotations: std::collections::BTreeMap::new(),
        traffic_distribution: None,
        publish_not_ready_addresses: false,
        other_proxy: false,
        creation_timestamp: None,
    }
}

/// Adds a Service with its endpoints; those in 10.233.64.0/24 are on this node.
pub(crate) fn add(snapshot: &mut Snapshot, service: Service, endpoints: &[IpAddr]) {
    let endpoint = |address: &IpAddr| Endpoint {
        address: *address,
        ready: true,
        serving: true,
        terminating: false,
        node_name: Some(if address.to_string().starts_with("10.233.64.") {
            "here".into()
        } else {
            "there".into()
        }),
        zone: None,
        zone_hints: Vec::new(),
        node_hints: Vec::new(),
        hostname: None,
        pod: None,
    };
    let slice = EndpointSlice {
        name: NamespacedName::new("shop", "slice"),
        service: service.name.clone(),
        family: IpFamily::V4,
        ports: vec![EndpointPort {
            name: service.ports[0].name.clone(),
            protocol: Protocol::Tcp,
            port: 8080,
        }],
        endpoints: endpoints.iter().map(endpoint).collect(),
    };
    snapshot.slices.insert(service.name.clone(), vec![slice]);
    snapshot.services.insert(service.name.clone(), service);
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// The three Services of `docs/nftables-layout.nft`.
pub(crate) fn example(affinity: bool) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let mut web = service("web", "10.233.10.1", "http", 80);
    web.service_type = ServiceType::LoadBalancer;
    web.ports[0].node_port = Some(30080);
    web.external_ips = ips(&["198.51.100.7"]);
    web.ingress = vec![LoadBalancerIngress {
        ip: Some("203.0.113.1".parse().unwrap()),
        hostname: None,
        ip_mode: IngressMode::Vip,
    }];
    let ranges = ["203.0.113.20/32", "198.51.100.0/24", "192.168.0.0/16"];
    web.source_ranges = ranges.map(|range| range.parse().unwrap()).into();
    web.external_traffic_policy = TrafficPolicy::Local;
    let pods = ips(&["10.233.64.11", "10.233.64.12", "10.233.128.11"]);
    add(&mut snapshot, web, &pods);
    let mut cart = service("cart", "10.233.10.2", "http", 80);
    cart.service_type = ServiceType::NodePort;
    cart.ports[0].node_port = Some(30081);
    cart.affinity_seconds = affinity.then_some(10_800);
    add(
        &mut snapshot,
        cart,
        &ips(&["10.233.64.21", "10.233.128.21"]),
    );
    add(
        &mut snapshot,
        service("queue", "10.233.10.3", "amqp", 5672),
        &[],
    );
    snapshot
}

pub(crate) fn steps(plan: &TablePlan<'_>) -> Vec<Op> {
    ops(|emit| plan.ops(emit))
}

/// The steps that something streams.
pub(crate) fn ops(
    stream: impl FnOnce(&mut dyn FnMut(Step) -> Result<(), Infallible>) -> Result<(), Infallible>,
) -> Vec<Op> {
    let mut ops = Vec::new();
    stream(&mut |step| {
        if let Step::Op(op) = step {
            ops.push(op);
        }
        Ok(())
    })
    .unwrap();
    ops
}

/// The tables are the same but for the order of slots.
pub(crate) fn assert_same(table: &TableState, desired: &TableState) {
    assert!(table.sets.keys().eq(desired.sets.keys()), "other sets");
    for (name, set) in desired
        .sets
        .iter()
        .filter(|(name, _)| &***name != "endpoints")
    {
        assert_eq!(table.sets[name], *set, "{name}");
    }
    assert_eq!(lists(table), lists(desired));
    assert_eq!(table.chains, desired.chains);
}

/// Slots in use and endpoints of every list.
type Lists = BTreeMap<(Vec<u8>, u32), (BTreeSet<u32>, BTreeSet<Vec<u8>>)>;

fn lists(state: &TableState) -> Lists {
    let mut lists = Lists::new();
    for (key, value) in &state.sets["endpoints"].elements {
        let (front_end, slot) = key.key.split_last_chunk::<4>().unwrap();
        let slot = u32::from_ne_bytes(*slot);
        let list = lists
            .entry((front_end.to_vec(), base_of(slot)))
            .or_default();
        list.0.insert(slot);
        assert!(list.1.insert(value.data.clone().unwrap().into()));
    }
    lists
}

/// Applies steps to a table in memory; refuses to add what is there and to delete what is not.
pub(crate) fn apply(state: &mut TableState, ops: &[Op]) {
    for op in ops {
        match op {
            Op::DeleteTable(table) => *state = TableState::new(table.clone()),
            Op::AddTable(_) | Op::AddCommentedTable { .. } | Op::AddOwnedTable { .. } => {}
            Op::AddSet { set, spec } => {
                assert!(!state.sets.contains_key(&set.name), "{set:?}");
                state.add_set(&set.name, spec.clone());
            }
            Op::DeleteSet(set) => assert!(state.sets.remove(&set.name).is_some()),
            Op::AddChain { chain, hook } => state.add_chain(&chain.name, hook.clone()),
            Op::FlushChain(chain) => {
                state.chains.get_mut(&chain.name).unwrap().rules.clear();
            }
            Op::AddRule { chain, rule, .. } => state.add_rule(&chain.name, rule.clone()),
            Op::AddElements { set, elements } => {
                let set = state.sets.get_mut(&set.name).unwrap();
                for element in elements {
                    let key = ElementKey {
                        key: element.key.clone(),
                        interval_end: element.interval_end,
                    };
                    let value = ElementValue {
                        data: element.data.clone(),
                        comment: element.comment.clone(),
                    };
                    assert_eq!(set.elements.insert(key, value), None, "{element:?}");
                }
            }
            Op::DeleteElements { set, elements } => {
                let set = state.sets.get_mut(&set.name).unwrap();
                for element in elements {
                    let key = ElementKey {
                        key: element.key.clone(),
                        interval_end: element.interval_end,
                    };
                    assert!(set.elements.remove(&key).is_some(), "{element:?}");
                }
            }
            other => assert!(matches!(other, Op::DeleteChain(_)), "{other:?}"),
        }
    }
}

//! Elements of services, and plans between any two states of a cluster, in memory.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod nftables_support;

use std::net::{IpAddr, Ipv4Addr};

use nftables_support::{add, apply, assert_same, example, options, service, steps};
use portolan::model::{ServiceType, Snapshot, TrafficPolicy};
use portolan::plan::nftables::text;
use portolan::plan::nftables::{NftRuleset, TableState, changes, plan};
use portolan::translate::nftables::NftablesRuleset;
use proptest::prelude::*;

fn desired(snapshot: &Snapshot) -> TableState {
    TableState::of(&NftablesRuleset::new(snapshot, &options()))
}

fn endpoints(count: u16) -> Vec<IpAddr> {
    let address = |n: u16| Ipv4Addr::from(0x0ae9_8000 + u32::from(n)).into();
    (0..count).map(address).collect()
}

fn one(count: u16) -> TableState {
    let mut snapshot = Snapshot::default();
    add(
        &mut snapshot,
        service("a", "10.233.0.1", "", 80),
        &endpoints(count),
    );
    desired(&snapshot)
}

/// Elements deleted and added in `endpoints` and `sizes` from one number of endpoints to another.
fn moves(from: u16, to: u16) -> (usize, usize) {
    let (from, to) = (one(from), one(to));
    let counts = plan(&to, Some(&from)).counts();
    (counts.elements_deleted, counts.elements_added)
}

#[test]
fn an_endpoint_more_or_less_moves_as_few_slots_as_can_be() {
    assert_eq!(moves(5, 6), (0, 1));
    assert_eq!(moves(8, 9), (8, 9));
    // The front end joins `large`, and its size `sizes`.
    assert_eq!(moves(16, 17), (16, 19));
    assert_eq!(moves(64, 65), (1, 2));
    assert_eq!(moves(4096, 4097), (1, 2));
    // The address that is last as text has the last slot.
    assert_eq!(moves(6, 5), (1, 0));
    // This one has not: the last one takes its slot.
    assert_eq!(moves(3000, 2999), (2, 1));
}

#[test]
fn the_last_endpoint_takes_the_slot_of_one_that_goes() {
    let mut snapshot = Snapshot::default();
    let mut left = endpoints(7);
    left.remove(2);
    add(&mut snapshot, service("a", "10.233.0.1", "", 80), &left);
    let counts = plan(&desired(&snapshot), Some(&one(7))).counts();
    assert_eq!((counts.elements_deleted, counts.elements_added), (2, 1));
}

#[test]
fn the_example_has_the_elements_of_the_document() {
    let (snapshot, options) = (example(true), options());
    let ruleset = NftablesRuleset::new(&snapshot, &options);
    let text = text::ruleset(&ruleset);
    for line in [
        "203.0.113.1 . tcp . 80 comment \"shop/web:http\"",
        "0.0.0.0 . tcp . 30080 . 1000003 : 10.233.64.12 . 8080",
        "203.0.113.1 . 203.0.113.1 . tcp . 80",
        "10.233.10.3 . tcp . 5672 comment \"shop/queue:amqp\"",
        "10.233.10.2 . tcp . 80 . 10.233.64.21 . 8080",
        "elements = { 10.233.0.0-10.233.63.255 }",
        "10.233.64.21 . 10.233.64.21 . tcp . 8080",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let state = desired(&snapshot);
    assert_eq!(state.sets["endpoints"].elements.len(), 22);
    assert_eq!(state.chains.len(), 42);
}

#[test]
fn the_first_in_name_order_has_a_front_end_claimed_twice() {
    let mut snapshot = Snapshot::default();
    for (name, ip) in [("b", "10.233.0.2"), ("a", "10.233.0.1")] {
        let mut service = service(name, ip, "", 80);
        service.external_ips = vec!["198.51.100.7".parse().unwrap()];
        add(&mut snapshot, service, &endpoints(2));
    }
    let options = options();
    let ruleset = NftablesRuleset::new(&snapshot, &options);
    let [conflict] = ruleset.conflicts() else {
        unreachable!("{:?}", ruleset.conflicts())
    };
    assert_eq!(conflict.owner.to_string(), "shop/a");
    assert_eq!(conflict.loser.to_string(), "shop/b");
    let state = TableState::of(&ruleset);
    assert_eq!(state.sets["external-services"].elements.len(), 1);
    assert_eq!(ruleset.table().name, "portolan".into());
}

prop_compose! {
    fn cluster()(
        services in proptest::collection::vec(
            (0..5_u8, 0..20_u16, 0..3_u8, any::<(bool, bool, bool)>(), 0..3_u32, 0..3_u8),
            0..5,
        ),
    ) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (id, count, kind, (internal, external, claims), affinity, ranges) in services {
            let mut service = service(&format!("s{id}"), &format!("10.233.0.{id}"), "", 80);
            let types = [ServiceType::ClusterIp, ServiceType::NodePort, ServiceType::LoadBalancer];
            service.service_type = types[usize::from(kind)];
            service.ports[0].node_port = (kind > 0).then_some(30_000 + u16::from(id));
            if internal { service.internal_traffic_policy = TrafficPolicy::Local; }
            if external { service.external_traffic_policy = TrafficPolicy::Local; }
            if claims { service.external_ips = vec!["198.51.100.7".parse().unwrap()]; }
            if kind == 2 {
                service.ingress = vec![portolan::model::LoadBalancerIngress {
                    ip: Some(format!("203.0.113.{id}").parse().unwrap()),
                    hostname: None,
                    ip_mode: portolan::model::IngressMode::Vip,
                }];
                let all = ["192.0.2.0/24", "192.168.0.0/16", "10.0.0.1/32"];
                let some = all.iter().take(usize::from(ranges));
                service.source_ranges = some.map(|range| range.parse().unwrap()).collect();
            }
            service.affinity_seconds = (affinity > 0).then_some(affinity * 100);
            let local = (0..count / 2).map(|n| format!("10.233.64.{n}").parse().unwrap());
            let all: Vec<_> = local.chain(endpoints(count)).collect();
            add(&mut snapshot, service, &all);
        }
        snapshot
    }
}

proptest! {
    #[test]
    fn any_state_is_changed_to_any_other_by_its_elements(a in cluster(), b in cluster()) {
        let (from, to) = (desired(&a), desired(&b));
        let mut table = TableState::new(from.table.clone());
        apply(&mut table, &steps(&plan(&from, None)));
        prop_assert!(plan(&from, Some(&table)).is_empty());
        let change = plan(&to, Some(&table));
        prop_assert!(!change.replaces());
        prop_assert!(changes(&change, Some(&table)).iter().all(|c| !c.added.is_empty() || !c.deleted.is_empty()));
        apply(&mut table, &steps(&change));
        assert_same(&table, &to);
        prop_assert!(plan(&to, Some(&table)).is_empty());
    }
}

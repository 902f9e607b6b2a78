//! The zone against itself: kept up it is what it would be if made anew. What it answers is tested
//! over sockets, in `tests/conformance`.

use std::collections::BTreeMap;

use super::*;
use crate::model::{Endpoint, EndpointSlice, IpFamily, Service, ServiceType, SnapshotDelta};
use proptest::prelude::*;

/// A Service of a kind, with that many endpoints: what a step of the test sets it to.
fn service(name: &NamespacedName, kind: u8) -> Service {
    let mut service = Service::new(name.clone());
    match kind {
        0 => service.headless = true,
        1 => {
            service.service_type = ServiceType::ExternalName;
            service.external_name = Some("example.com".into());
        }
        last => service.cluster_ips = vec![[10, 0, 0, last].into()],
    }
    service
}

fn slice(name: &NamespacedName, endpoints: u8) -> EndpointSlice {
    let endpoint = |number: u8| Endpoint {
        address: [10, 1, 0, number].into(),
        ready: !number.is_multiple_of(3),
        serving: true,
        terminating: false,
        node_name: None,
        zone: None,
        zone_hints: Vec::new(),
        node_hints: Vec::new(),
        hostname: number
            .is_multiple_of(2)
            .then(|| format!("h{number}").into()),
        pod: None,
    };
    EndpointSlice {
        name: name.clone(),
        service: name.clone(),
        family: IpFamily::V4,
        ports: Vec::new(),
        endpoints: (0..endpoints).map(endpoint).collect(),
    }
}

fn options() -> ZoneOptions {
    ZoneOptions::new("cluster.local").unwrap()
}

proptest! {
    #[test]
    fn a_zone_that_follows_is_the_zone_of_the_snapshot(
        steps in proptest::collection::vec((0..3_u8, 0..2_u8, 0..5_u8, 0..6_u8), 1..40)
    ) {
        let mut snapshot = Snapshot::default();
        let mut zone = Zone::new(options(), &snapshot, 1);
        for (number, namespace, kind, endpoints) in steps {
            let name = NamespacedName::new(format!("ns{namespace}"), format!("s{number}"));
            let changed = (kind != 4).then(|| service(&name, kind));
            let slices = vec![slice(&name, endpoints)];
            let delta = SnapshotDelta {
                services: BTreeMap::from([(name.clone(), changed)]),
                slices: BTreeMap::from([(name, slices)]),
                ..SnapshotDelta::default()
            };
            let touched = snapshot.apply(delta);
            zone.follow(&snapshot, &touched, 1);
            let anew = Zone::new(options(), &snapshot, 1);
            prop_assert_eq!(&zone.entries, &anew.entries);
            prop_assert_eq!(&zone.addresses, &anew.addresses);
            prop_assert_eq!(&zone.namespaces, &anew.namespaces);
        }
    }
}

#[test]
fn only_what_changes_answers_changes_the_serial() {
    let name = NamespacedName::new("default", "web");
    let mut snapshot = Snapshot::default();
    snapshot.services.insert(name.clone(), service(&name, 0));
    snapshot.slices.insert(name.clone(), vec![slice(&name, 2)]);
    let mut zone = Zone::new(options(), &snapshot, 100);
    let touched = Touched {
        services: [name.clone()].into(),
        ..Touched::default()
    };
    let web = snapshot.services.get_mut(&name).unwrap();
    web.affinity_seconds = Some(10);
    zone.follow(&snapshot, &touched, 200);
    assert_eq!(zone.serial(), 100);
    snapshot.slices.insert(name.clone(), vec![slice(&name, 3)]);
    zone.follow(&snapshot, &touched, 200);
    assert_eq!(zone.serial(), 200);
    snapshot.slices.clear();
    zone.follow(&snapshot, &touched, 200);
    assert_eq!(zone.serial(), 201, "in the same second");
}

#[test]
fn labels_of_endpoints_are_those_of_core_dns() {
    let table = [
        ("10.11.12.13", "10-11-12-13"),
        (
            "2001:db8:3333:4444:5555:6666:7777:8888",
            "2001-db8-3333-4444-5555-6666-7777-8888",
        ),
        (
            "2001:db8:3333:4444:5555:6666::",
            "2001-db8-3333-4444-5555-6666--0",
        ),
        ("::1", "0--1"),
    ];
    for (address, label) in table {
        assert_eq!(&*entry::dashed(address.parse().unwrap()), label);
    }
}

#[test]
fn a_domain_that_is_none_is_refused() {
    for domain in ["", ".", "a..b", "a b", "ü.local"] {
        assert!(ZoneOptions::new(domain).is_err(), "{domain}");
    }
    assert!(options().with_ttl(3600).is_ok());
    assert!(options().with_ttl(3601).is_err());
}

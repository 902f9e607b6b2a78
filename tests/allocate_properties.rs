//! What holds for allocation whatever the Services: nobody shares, requests are honoured, order
//! does not matter, and what was given out stays.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::{IpAddr, Ipv4Addr};

use portolan::model::allocate::{Allocations, Ledger, Ranges, ServiceAllocation, allocate};
use portolan::model::{
    IpFamily, IpFamilyPolicy, NamespacedName, Protocol, Service, ServicePort, ServiceType,
    TargetPort, TrafficPolicy,
};
use proptest::prelude::*;

type Services = BTreeMap<NamespacedName, Service>;

/// Small ranges, so that Services meet: 62 addresses (16 static), 100 node ports (16 static).
fn ranges() -> Ranges {
    let cidrs = [
        "10.0.0.0/26".parse().unwrap(),
        "fd00::/120".parse().unwrap(),
    ];
    Ranges::new(&cidrs, 30000..=30099).unwrap()
}

fn service_port(name: String, fixed: Option<u16>, number: u16, protocol: Protocol) -> ServicePort {
    ServicePort {
        name: name.into(),
        protocol,
        port: number,
        target_port: TargetPort::Number(number),
        node_port: fixed,
    }
}

/// One to three ports of distinct (number, protocol); some fix their node port.
fn ports() -> impl Strategy<Value = Vec<ServicePort>> {
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)];
    let fixed = prop::option::weighted(0.15, 30000..=30099u16);
    prop::collection::btree_map((1..4u16, protocol), fixed, 1..=3).prop_map(|ports| {
        ports
            .into_iter()
            .enumerate()
            .map(|(index, ((number, protocol), fixed))| {
                service_port(format!("p{index}"), fixed, number, protocol)
            })
            .collect()
    })
}

prop_compose! {
    fn service()(
        number in 0..40u8,
        service_type in prop_oneof![
            Just(ServiceType::ClusterIp),
            Just(ServiceType::NodePort),
            Just(ServiceType::LoadBalancer),
            Just(ServiceType::ExternalName),
        ],
        headless in prop::bool::weighted(0.1),
        fixed in prop::option::weighted(0.2, 1..=62u8),
        policy in prop::option::of(prop_oneof![
            Just(IpFamilyPolicy::SingleStack),
            Just(IpFamilyPolicy::PreferDualStack),
            Just(IpFamilyPolicy::RequireDualStack),
        ]),
        selects in any::<bool>(),
        local in any::<bool>(),
        allocate_node_ports in any::<bool>(),
        ports in ports(),
    ) -> Service {
        let has_ip = !headless && service_type != ServiceType::ExternalName;
        Service {
            service_type,
            cluster_ips: fixed
                .filter(|_| has_ip)
                .map(|last| IpAddr::from(Ipv4Addr::new(10, 0, 0, last)))
                .into_iter()
                .collect(),
            headless: headless && service_type == ServiceType::ClusterIp,
            ip_family_policy: policy.filter(|_| service_type != ServiceType::ExternalName),
            ports,
            selector: selects.then(|| ("app".into(), "web".into())).into_iter().collect(),
            external_traffic_policy: if local { TrafficPolicy::Local } else { TrafficPolicy::Cluster },
            allocate_node_ports,
            ..Service::new(NamespacedName::new("default", format!("s{number:02}")))
        }
    }
}

fn services(most: usize) -> impl Strategy<Value = Vec<Service>> {
    prop::collection::vec(service(), 0..most)
}

fn by_name(services: impl IntoIterator<Item = Service>) -> Services {
    services.into_iter().map(|s| (s.name.clone(), s)).collect()
}

/// Allocates; Services that are refused leave the set, until the rest is accepted.
fn allocated(services: &Services, previous: &Allocations) -> (Services, Services, Allocations) {
    let mut accepted = services.clone();
    loop {
        let mut result = accepted.clone();
        match allocate(&mut result, &ranges(), previous) {
            Ok(allocations) => return (accepted, result, allocations),
            Err(errors) => {
                assert_eq!(result, accepted, "a refusal changes nothing");
                for error in errors {
                    accepted.remove(&error.service);
                }
            }
        }
    }
}

/// Every node port that a Service holds, once.
fn held_ports(service: &Service) -> BTreeSet<u16> {
    let node_ports = service.ports.iter().filter_map(|port| port.node_port);
    node_ports.chain(service.health_check_node_port).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, ..ProptestConfig::default() })]

    #[test]
    fn no_two_services_share_an_address_or_a_node_port(list in services(40)) {
        let (_, result, _) = allocated(&by_name(list), &Allocations::default());
        let mut addresses = HashSet::new();
        let mut ports = HashSet::new();
        for service in result.values() {
            for address in &service.cluster_ips {
                prop_assert!(addresses.insert(*address), "{address} is shared");
            }
            for port in held_ports(service) {
                prop_assert!(ports.insert(port), "{port} is shared");
            }
        }
    }

    #[test]
    fn within_a_service_a_node_port_belongs_to_one_port_number(list in services(40)) {
        let (_, result, _) = allocated(&by_name(list), &Allocations::default());
        for service in result.values() {
            let mut owner = BTreeMap::new();
            for port in &service.ports {
                let Some(node_port) = port.node_port else { continue };
                prop_assert_eq!(*owner.entry(node_port).or_insert(port.port), port.port);
                prop_assert_ne!(Some(node_port), service.health_check_node_port);
            }
        }
    }

    #[test]
    fn everybody_gets_what_the_type_calls_for(list in services(30)) {
        let (_, result, _) = allocated(&by_name(list), &Allocations::default());
        for service in result.values() {
            let has_ip = !service.headless && service.service_type != ServiceType::ExternalName;
            let of: Vec<_> = service.cluster_ips.iter().map(|ip| IpFamily::of(*ip)).collect();
            if has_ip {
                prop_assert!(!of.is_empty());
                prop_assert_eq!(&of, &service.ip_families);
            } else {
                prop_assert!(of.is_empty());
            }
            let wants = match service.service_type {
                ServiceType::NodePort => true,
                ServiceType::LoadBalancer => service.allocate_node_ports,
                _ => false,
            };
            if wants {
                prop_assert!(service.ports.iter().all(|port| port.node_port.is_some()));
            }
            let needs_health_check = service.service_type == ServiceType::LoadBalancer
                && service.external_traffic_policy == TrafficPolicy::Local;
            prop_assert_eq!(service.health_check_node_port.is_some(), needs_health_check);
        }
    }

    #[test]
    fn requests_are_honoured(list in services(30)) {
        let (asked, result, _) = allocated(&by_name(list), &Allocations::default());
        for (before, after) in asked.values().zip(result.values()) {
            prop_assert!(after.cluster_ips.starts_with(&before.cluster_ips));
            if matches!(before.service_type, ServiceType::NodePort | ServiceType::LoadBalancer) {
                for (before, after) in before.ports.iter().zip(&after.ports) {
                    prop_assert!(before.node_port.is_none() || before.node_port == after.node_port);
                }
            }
        }
    }

    #[test]
    fn new_values_leave_the_static_band_alone_while_there_is_room(list in services(12)) {
        let (asked, result, _) = allocated(&by_name(list), &Allocations::default());
        for (before, after) in asked.values().zip(result.values()) {
            let new_v4 = after.cluster_ips.iter().skip(before.cluster_ips.len());
            for address in new_v4 {
                if let IpAddr::V4(address) = address {
                    prop_assert!((17..=62).contains(&address.octets()[3]), "{address}");
                }
            }
            let fixed = held_ports(before);
            for port in held_ports(after).difference(&fixed) {
                prop_assert!((30016..=30099).contains(port), "{port}");
            }
        }
    }

    #[test]
    fn the_order_of_manifests_does_not_matter(
        (list, shuffled) in services(30)
            .prop_map(|list| by_name(list).into_values().collect::<Vec<_>>())
            .prop_flat_map(|list| (Just(list.clone()), Just(list).prop_shuffle()))
    ) {
        let none = Allocations::default();
        prop_assert_eq!(allocated(&by_name(list), &none), allocated(&by_name(shuffled), &none));
    }

    #[test]
    fn a_second_run_changes_nothing(list in services(40)) {
        let (asked, result, first) = allocated(&by_name(list), &Allocations::default());
        let mut again = asked;
        prop_assert_eq!(allocate(&mut again, &ranges(), &first), Ok(first.clone()));
        prop_assert_eq!(&again, &result);
        // Also when what was given out is fed back as if the manifests had asked for it.
        prop_assert_eq!(allocate(&mut again, &ranges(), &Allocations::default()), Ok(first));
        prop_assert_eq!(again, result);
    }

    #[test]
    fn removing_and_adding_others_moves_nobody(list in services(40), keep in any::<u64>()) {
        let (asked, result, first) = allocated(&by_name(list), &Allocations::default());
        let mut some = asked.clone();
        let mut index = 0;
        some.retain(|_, _| {
            index += 1;
            keep >> (index % 64) & 1 == 1
        });
        let kept: Vec<_> = some.keys().cloned().collect();
        let second = allocate(&mut some, &ranges(), &first).unwrap();
        for name in &kept {
            prop_assert_eq!(&some[name], &result[name], "after others left");
        }
        let (_, all, _) = allocated(&asked, &second);
        for name in kept.iter().filter(|name| all.contains_key(*name)) {
            prop_assert_eq!(&all[name], &result[name], "after others came back");
        }
    }

    #[test]
    fn any_record_of_an_earlier_run_is_harmless(
        before in services(40),
        after in services(40),
    ) {
        let (_, _, previous) = allocated(&by_name(before), &Allocations::default());
        let (_, result, allocations) = allocated(&by_name(after), &previous);
        let mut addresses = HashSet::new();
        let mut ports = HashSet::new();
        for service in result.values() {
            prop_assert!(service.cluster_ips.iter().all(|ip| addresses.insert(*ip)));
            prop_assert!(held_ports(service).iter().all(|port| ports.insert(*port)));
        }
        let text = serde_json::to_string(&allocations).unwrap();
        prop_assert_eq!(serde_json::from_str::<Allocations>(&text).unwrap(), allocations);
    }

    #[test]
    fn step_by_step_gives_what_all_at_once_gives(
        steps in prop::collection::vec((services(8), prop::collection::vec(0..40u8, 0..6)), 1..25)
    ) {
        let mut ledger = Ledger::new(ranges());
        let (mut asked, mut held) = (Services::new(), Services::new());
        let mut previous = Allocations::default();
        for (come, go) in steps {
            let mut next = asked.clone();
            let mut changes = BTreeMap::new();
            for number in go {
                let name = NamespacedName::new("default", format!("s{number:02}"));
                next.remove(&name);
                changes.insert(name, None);
            }
            for service in come {
                next.insert(service.name.clone(), service.clone());
                changes.insert(service.name.clone(), Some(service));
            }
            let touched: Allocations = changes
                .keys()
                .filter_map(|name| {
                    Some((name.clone(), ServiceAllocation::of(held.get(name)?)?))
                })
                .collect();
            let mut at_once = next.clone();
            let expected = allocate(&mut at_once, &ranges(), &previous);
            let mut filled = changes.clone();
            let result = ledger.change(&mut filled, &touched);
            prop_assert_eq!(result.is_ok(), expected.is_ok(), "{:?} {:?}", result, expected);
            let (Ok(changed), Ok(expected)) = (result, expected) else {
                prop_assert_eq!(filled, changes, "a refusal changes nothing");
                continue;
            };
            // What was not made final is as if it had never been.
            ledger.undo();
            let mut again = changes;
            prop_assert_eq!(ledger.change(&mut again, &touched), Ok(changed.clone()));
            ledger.keep();
            for (name, service) in filled {
                match service {
                    Some(service) => held.insert(name, service),
                    None => held.remove(&name),
                };
            }
            let mut records: BTreeMap<_, _> =
                previous.iter().map(|(name, record)| (name.clone(), record.clone())).collect();
            for (name, record) in changed {
                match record {
                    Some(record) => records.insert(name, record),
                    None => records.remove(&name),
                };
            }
            prop_assert_eq!(records.into_iter().collect::<Allocations>(), expected.clone());
            prop_assert_eq!(&held, &at_once);
            (asked, previous) = (next, expected);
        }
    }
}

//! Addresses of load balancers.

use std::collections::BTreeSet;

use super::*;
use crate::model::allocate::{give_balancers, unserved_balancers};
use crate::model::{IngressMode, LoadBalancerIngress};

fn balancer(name: &str) -> Service {
    Service {
        service_type: ServiceType::LoadBalancer,
        ports: vec![ServicePort {
            name: "".into(),
            protocol: Protocol::Tcp,
            port: 80,
            target_port: TargetPort::Number(80),
            node_port: None,
        }],
        ..Service::new(NamespacedName::new("default", name))
    }
}

fn cluster(pool: &[&str], services: Vec<Service>) -> Cluster {
    let mut cluster = Cluster::v4(services);
    cluster.ranges.balancers = pool.iter().map(|text| text.parse().unwrap()).collect();
    cluster
}

fn addresses(cluster: &Cluster) -> Vec<String> {
    let text = |service: &Service| {
        let ips: Vec<String> = service
            .balancer_ips
            .iter()
            .map(ToString::to_string)
            .collect();
        ips.join(",")
    };
    cluster.services.values().map(text).collect()
}

#[test]
fn a_pool_is_given_out_once_and_remembered() {
    let names = ["a", "b", "c"];
    let services = || names.map(balancer).to_vec();
    let mut cluster = cluster(&["192.0.2.10-192.0.2.11"], services());
    cluster.allocate().unwrap();
    let first = addresses(&cluster);
    let mut given = first.clone();
    given.sort();
    assert_eq!(given, ["", "192.0.2.10", "192.0.2.11"], "the third waits");
    cluster.set(services());
    cluster.allocate().unwrap();
    assert_eq!(addresses(&cluster), first);
    // Who gives its address back makes room.
    let loser = first.iter().position(String::is_empty).unwrap();
    let gone = (loser + 1) % 3;
    let rest = names.iter().enumerate().filter(|(n, _)| *n != gone);
    cluster.set(rest.map(|(_, name)| balancer(name)));
    cluster.allocate().unwrap();
    assert!(addresses(&cluster).iter().all(|ip| !ip.is_empty()));
    let ingress = &cluster.services.values().next().unwrap().ingress;
    assert_eq!(ingress.len(), 1, "rules read the status");
}

#[test]
fn only_services_that_are_ours_get_one() {
    let classed = |name: &str, class: &str| Service {
        load_balancer_class: Some(class.into()),
        ..balancer(name)
    };
    let asked = |name: &str, ip: &str| Service {
        load_balancer_ip: Some(ip.parse().unwrap()),
        ..balancer(name)
    };
    let plain = Service {
        service_type: ServiceType::NodePort,
        ..balancer("f")
    };
    let services = vec![
        classed("a", BALANCER_CLASS),
        classed("b", "example.com/cloud"),
        asked("c", "192.0.2.13"),
        asked("d", "198.51.100.1"),
        asked("e", "192.0.2.13"),
        plain,
    ];
    let mut cluster = cluster(&["192.0.2.8/29"], services);
    cluster.allocate().unwrap();
    let got = addresses(&cluster);
    assert!(got[0].starts_with("192.0.2."), "{got:?}");
    assert_eq!(got[1..], ["", "192.0.2.13", "", "", ""], "{got:?}");
}

#[test]
fn a_family_without_a_pool_has_no_address() {
    let both = Service {
        ip_family_policy: Some(crate::model::IpFamilyPolicy::RequireDualStack),
        ..balancer("a")
    };
    for (pool, wanted) in [
        (&["192.0.2.9"][..], "192.0.2.9"),
        (&["2001:db8::9", "192.0.2.9"], "192.0.2.9,2001:db8::9"),
    ] {
        let mut cluster = Cluster::dual([both.clone()]);
        cluster.ranges.balancers = pool.iter().map(|text| text.parse().unwrap()).collect();
        cluster.allocate().unwrap();
        assert_eq!(addresses(&cluster), [wanted]);
    }
}

#[test]
fn ranges_are_read_in_three_forms() {
    let range = |text: &str| text.parse::<AddressRange>().map(|range| range.to_string());
    assert_eq!(range("192.0.2.9/29").unwrap(), "192.0.2.8-192.0.2.15");
    assert_eq!(range("192.0.2.9").unwrap(), "192.0.2.9-192.0.2.9");
    assert_eq!(range("fd00::1 - fd00::9").unwrap(), "fd00::1-fd00::9");
    for wrong in ["", "192.0.2.9-192.0.2.1", "192.0.2.1-fd00::1", "a-b"] {
        assert!(range(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn in_a_cluster_those_that_wait_get_what_no_status_has() {
    let named = |name: &str| (balancer(name).name.clone(), balancer(name));
    let mut services: BTreeMap<_, _> = ["a", "b", "c"].map(named).into();
    for service in services.values_mut() {
        service.ip_families = vec![IpFamily::V4];
    }
    let pools = ["192.0.2.1-192.0.2.3".parse().unwrap()];
    let all = give_balancers(&services, &pools, &BTreeMap::new());
    assert_eq!(all.len(), 3);
    let distinct: BTreeSet<_> = all.values().flatten().collect();
    assert_eq!(distinct.len(), 3);
    // One has it in its status, one was just given its own: only the third is left.
    let name = |name: &str| balancer(name).name;
    services.get_mut(&name("a")).unwrap().ingress = vec![LoadBalancerIngress {
        ip: Some(all[&name("c")][0]),
        hostname: None,
        ip_mode: IngressMode::Vip,
    }];
    let pending = [(name("b"), all[&name("b")].clone())].into();
    let rest = give_balancers(&services, &pools, &pending);
    assert_eq!(rest, [(name("c"), all[&name("a")].clone())].into());
}

#[test]
fn in_a_cluster_a_pool_that_is_used_up_is_another_matter_than_one_without_the_family() {
    let of = |name: &str, family: IpFamily| {
        let mut service = balancer(name);
        service.ip_families = vec![family];
        (service.name.clone(), service)
    };
    let mut services: BTreeMap<_, _> = [
        of("a", IpFamily::V4),
        of("b", IpFamily::V4),
        of("c", IpFamily::V6),
        of("d", IpFamily::V6),
    ]
    .into();
    let name = |name: &str| balancer(name).name;
    services.get_mut(&name("d")).unwrap().other_proxy = true;
    let pools = ["192.0.2.1".parse().unwrap()];
    let given = give_balancers(&services, &pools, &BTreeMap::new());
    assert_eq!(given.keys().collect::<Vec<_>>(), [&name("a")]);
    let unserved = unserved_balancers(&services, &pools, &given);
    assert_eq!(unserved.used_up, [name("b")]);
    assert_eq!(unserved.no_range, [name("c")]);
    // What another proxy serves is not ours to give to, whatever there is.
    let both = [pools[0], "2001:db8::/120".parse().unwrap()];
    let given = give_balancers(&services, &both, &BTreeMap::new());
    assert!(!given.contains_key(&name("d")));
}

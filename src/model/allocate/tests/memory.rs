use super::super::super::IpFamilyPolicy::{PreferDualStack, RequireDualStack, SingleStack};
use super::*;

fn named(name: &str, ports: impl Into<Vec<ServicePort>>) -> Service {
    node_port(name, ports)
}

#[test]
fn a_service_keeps_what_it_was_given() {
    // "a" sorts first and hashes to the place that "b" was given.
    let mut cluster = Cluster::v4([at("b", "10.233.10.10")]).done();
    cluster.set([service("b")]);
    cluster.allocate().unwrap();
    assert_eq!(
        cluster.ip("b"),
        "10.233.10.10",
        "also when it was once fixed"
    );
}

#[test]
fn a_fixed_request_moves_a_service_away_from_what_it_had() {
    let mut cluster = Cluster::v4([at("a", "10.233.10.10")]).done();
    cluster.set([at("a", "10.233.10.11"), at("b", "10.233.10.10")]);
    cluster.allocate().unwrap();
    assert_eq!(cluster.ip("a"), "10.233.10.11");
    assert_eq!(cluster.ip("b"), "10.233.10.10");
}

#[test]
fn a_fixed_request_for_what_another_service_was_given_is_refused() {
    let mut cluster = Cluster::v4([
        at("a", "10.233.10.10"),
        named("n", [on(30080, port("", 80))]),
    ])
    .done();
    cluster.set([
        service("a"),
        at("b", "10.233.10.10"),
        named("n", [port("", 80)]),
        named("z", [port("x", 79), on(30080, port("y", 80))]),
    ]);
    assert_eq!(
        cluster.refused(),
        [
            "b: spec.clusterIPs[0]: Invalid value: \"10.233.10.10\": failed to allocate IP 10.233.10.10: provided IP is already allocated to Service default/a by an earlier run",
            "z: spec.ports[1].nodePort: Invalid value: 30080: provided port is already allocated to Service default/n by an earlier run",
        ]
    );
    // Gone from the manifests, it holds nothing any more.
    cluster.set([at("b", "10.233.10.10")]);
    cluster.allocate().unwrap();
    assert_eq!(cluster.allocations.len(), 1);
}

#[test]
fn what_is_no_longer_valid_is_forgotten() {
    let mut cluster = Cluster::v4([at("a", "10.233.10.10")]).done();
    cluster.ranges.cluster_ips = vec!["10.96.0.0/16".parse().unwrap()];
    cluster.set([service("a")]);
    cluster.allocate().unwrap();
    assert!(cluster.ip("a").starts_with("10.96."));
}

#[test]
fn a_change_of_type_releases() {
    let mut cluster = Cluster::v4([named("a", [on(30080, port("", 80))])]).done();
    cluster.set([service("a"), named("b", [on(30080, port("", 80))])]);
    cluster.allocate().unwrap();
    assert_eq!(cluster.node_ports("a"), [None]);

    let address = cluster.ip("a");
    let headless = Service {
        headless: true,
        ..service("a")
    };
    cluster.set([headless, at("c", &address)]);
    cluster.allocate().unwrap();
    assert_eq!(cluster.ip("c"), address);
}

#[test]
fn node_ports_are_remembered_by_name_then_by_number() {
    let mut cluster = Cluster::v4([named(
        "a",
        [on(30001, port("x", 1)), on(30002, port("y", 2))],
    )])
    .done();
    let mut ports = |ports: Vec<ServicePort>| {
        cluster.set([named("a", ports)]);
        cluster.allocate().unwrap();
        cluster.node_ports("a")
    };
    let had = [Some(30001), Some(30002)];
    assert_eq!(
        ports(vec![port("x", 8), port("y", 9)]),
        had,
        "other numbers"
    );
    assert_eq!(ports(vec![port("v", 8), port("w", 9)]), had, "other names");
    assert_eq!(
        ports(vec![port("w", 8), port("v", 9)]),
        [Some(30002), Some(30001)],
        "the name decides"
    );
}

#[test]
fn a_node_port_that_moved_to_another_port_of_the_service_is_not_remembered_twice() {
    let mut cluster = Cluster::v4([named("a", [on(30001, port("x", 1))])]).done();
    cluster.set([named("a", [port("x", 1), on(30001, port("y", 2))])]);
    cluster.allocate().unwrap();
    let [x, y] = cluster.node_ports("a")[..] else {
        panic!("two ports");
    };
    assert_eq!(y, Some(30001));
    assert_ne!(x, y);
}

#[test]
fn a_protocol_added_to_a_port_shares_the_remembered_node_port() {
    let mut cluster = Cluster::v4([named("dns", [on(30053, port("tcp", 53))])]).done();
    cluster.set([named("dns", [port("tcp", 53), udp("udp", 53)])]);
    cluster.allocate().unwrap();
    assert_eq!(cluster.node_ports("dns"), [Some(30053), Some(30053)]);
}

#[test]
fn the_health_check_port_is_remembered_while_it_is_needed() {
    let local = |health_check| Service {
        external_traffic_policy: TrafficPolicy::Local,
        health_check_node_port: health_check,
        ..load_balancer("a", [port("", 80)])
    };
    let mut cluster = Cluster::v4([local(Some(31046))]).done();
    cluster.set([local(None)]);
    cluster.allocate().unwrap();
    assert_eq!(cluster.get("a").health_check_node_port, Some(31046));
    cluster.set([
        load_balancer("a", [port("", 80)]),
        named("b", [on(31046, port("", 80))]),
    ]);
    cluster.allocate().unwrap();
    assert_eq!(cluster.get("a").health_check_node_port, None);
}

fn prefer(name: &str) -> Service {
    Service {
        ip_family_policy: Some(PreferDualStack),
        ..service(name)
    }
}

#[test]
fn prefer_dual_stack_takes_every_family_that_has_a_range_today() {
    let dual = Cluster::dual([]).ranges;
    let mut cluster = Cluster::v4([prefer("a")]).done();
    let had = cluster.ip("a");
    cluster.ranges = dual;
    cluster.set([prefer("a")]);
    cluster.allocate().unwrap();
    let both = cluster.ips("a");
    assert_eq!((both.len(), &both[0]), (2, &had));

    cluster.set([service("a")]);
    cluster.allocate().unwrap();
    assert_eq!(cluster.ip("a"), had, "no policy is one family");
}

#[test]
fn families_of_an_earlier_manifest_do_not_decide_for_a_later_one() {
    let families = |policy, ip_families: &[_]| Service {
        ip_family_policy: policy,
        ip_families: ip_families.to_vec(),
        ..service("a")
    };
    let mut cluster = Cluster::dual([families(Some(RequireDualStack), &[])]).done();
    for (manifest, expected) in [
        (families(None, &[V4]), vec![V4]),
        (families(None, &[V6]), vec![V6]),
        (families(Some(SingleStack), &[]), vec![V4]),
        (families(Some(PreferDualStack), &[V6]), vec![V6, V4]),
        (families(None, &[]), vec![V4]),
    ] {
        cluster.set([manifest]);
        cluster.allocate().unwrap();
        assert_eq!(cluster.get("a").ip_families, expected);
        if expected == [V4] {
            assert_eq!(cluster.ips("a").len(), 1);
        }
    }
}

#[test]
fn allocations_survive_their_text_form() {
    let local = Service {
        external_traffic_policy: TrafficPolicy::Local,
        ..load_balancer("lb", [port("http", 80), udp("dns", 53)])
    };
    let cluster = Cluster::dual([local, prefer("a"), service("b")]).done();
    let text = serde_json::to_string_pretty(&cluster.allocations).unwrap();
    let back: Allocations = serde_json::from_str(&text).unwrap();
    assert_eq!(back, cluster.allocations);
}

#[test]
fn text_that_is_no_record_of_allocations_is_refused() {
    let reason = |text| {
        serde_json::from_str::<Allocations>(text)
            .unwrap_err()
            .to_string()
    };
    let twice = r#"[{"namespace":"d","name":"a"},{"namespace":"d","name":"a"}]"#;
    assert!(reason(twice).contains("Service d/a is listed twice"));
    let unknown = r#"[{"namespace":"d","name":"a","clusterIP":"10.0.0.1"}]"#;
    assert!(reason(unknown).contains("unknown field `clusterIP`"));
}

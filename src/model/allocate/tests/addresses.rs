use super::*;

#[test]
fn a_fixed_address_is_honoured_in_either_band() {
    let cluster = Cluster::v4([at("low", "10.233.0.2"), at("high", "10.233.10.10")]).done();
    assert_eq!(cluster.ip("low"), "10.233.0.2");
    assert_eq!(cluster.ip("high"), "10.233.10.10");
}

#[test]
fn a_new_address_comes_from_the_dynamic_band_and_is_the_same_everywhere() {
    let cluster = Cluster::v4([service("mycluster")]).done();
    // A golden value: SHA-256 of "default/mycluster" decides, on every machine.
    assert_eq!(cluster.ip("mycluster"), "10.233.47.38");
    let again = Cluster::v4([service("mycluster"), service("zz")]).done();
    assert_eq!(again.ip("mycluster"), cluster.ip("mycluster"));
}

#[test]
fn an_address_outside_the_range_is_refused_in_the_api_servers_words() {
    let mut cluster = Cluster::v4([at("web", "10.234.0.1")]);
    assert_eq!(
        cluster.refused(),
        [
            "web: spec.clusterIPs[0]: Invalid value: \"10.234.0.1\": failed to allocate IP 10.234.0.1: the provided IP (10.234.0.1) is not in the valid range. The range of valid IPs is 10.233.0.0/18"
        ]
    );
}

#[test]
fn network_and_broadcast_addresses_are_outside_the_range() {
    for address in ["10.233.0.0", "10.233.63.255", "fd00:10:233::"] {
        let errors = Cluster::dual([at("web", address)]).refused();
        assert!(
            errors[0].contains("is not in the valid range"),
            "{errors:?}"
        );
    }
    Cluster::dual([at("web", "fd00:10:233::ffff")]).done();
}

#[test]
fn two_services_with_one_address_are_refused_and_both_named() {
    let mut cluster = Cluster::v4([at("a", "10.233.10.10"), at("b", "10.233.10.10")]);
    assert_eq!(
        cluster.refused(),
        [
            "b: spec.clusterIPs[0]: Invalid value: \"10.233.10.10\": failed to allocate IP 10.233.10.10: provided IP is already allocated to Service default/a"
        ]
    );
}

#[test]
fn all_errors_are_reported_at_once_by_service() {
    let mut cluster = Cluster::v4([
        at("a", "10.234.0.1"),
        node_port("b", [on(80, port("", 80)), on(32768, port("x", 81))]),
        at("c", "10.233.0.1"),
    ]);
    let errors = cluster.refused();
    let fields: Vec<_> = errors
        .iter()
        .map(|e| e.split(": ").take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        fields,
        [
            "a spec.clusterIPs[0]",
            "b spec.ports[0].nodePort",
            "b spec.ports[1].nodePort",
            "c spec.clusterIPs[0]",
        ]
    );
}

#[test]
fn the_first_address_is_kept_for_the_api_service() {
    let mut cluster = Cluster::v4([at("web", "10.233.0.1")]);
    assert_eq!(
        cluster.refused(),
        [
            "web: spec.clusterIPs[0]: Invalid value: \"10.233.0.1\": failed to allocate IP 10.233.0.1: provided IP is already allocated to Service default/kubernetes"
        ]
    );
    assert_eq!(
        Cluster::v4([service("kubernetes")]).done().ip("kubernetes"),
        "10.233.0.1"
    );
    let fixed = Cluster::v4([at("kubernetes", "10.233.0.1")]).done();
    assert_eq!(fixed.ip("kubernetes"), "10.233.0.1");
}

#[test]
fn the_first_address_of_the_second_range_is_free() {
    let cluster = Cluster::dual([at("web", "fd00:10:233::1")]).done();
    assert_eq!(cluster.ip("web"), "fd00:10:233::1");
}

#[test]
fn the_static_band_is_used_when_the_dynamic_one_is_full() {
    // 30 usable, 16 of them static, one of those reserved: 14 dynamic.
    let names: Vec<_> = (0..29).map(|i| format!("s{i:02}")).collect();
    let cluster = Cluster::new("10.0.0.0/27", names.iter().map(|n| service(n))).done();
    let static_band = names.iter().skip(14).map(|n| cluster.ip(n));
    for address in static_band {
        let last: u8 = address.rsplit('.').next().unwrap().parse().unwrap();
        assert!((2..=16).contains(&last), "{address}");
    }
}

#[test]
fn a_full_range_is_an_error_for_each_service_left_over() {
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    let mut cluster = Cluster::new("10.0.0.0/29", names.map(service));
    assert_eq!(
        cluster.refused(),
        [
            "f: spec.clusterIPs[0]: failed to allocate a serviceIP: range is full (10.0.0.0/29)",
            "g: spec.clusterIPs[0]: failed to allocate a serviceIP: range is full (10.0.0.0/29)",
        ]
    );
}

#[test]
fn headless_and_external_name_services_get_no_address() {
    let headless = Service {
        headless: true,
        ..service("headless")
    };
    let alias = Service {
        service_type: ServiceType::ExternalName,
        external_name: Some("db.external.com".into()),
        ..service("alias")
    };
    let cluster = Cluster::v4([headless, alias.clone()]).done();
    assert_eq!(cluster.ips("headless"), Vec::<String>::new());
    assert_eq!(cluster.get("alias"), &alias);
    assert!(cluster.allocations.is_empty());
}

#[test]
fn an_address_of_a_family_without_a_range_is_accepted_once() {
    let cluster = Cluster::v4([at("web", "fd00::7")]).done();
    assert_eq!(cluster.ip("web"), "fd00::7");
    assert_eq!(cluster.get("web").ip_families, [V6]);
    let errors = Cluster::v4([at("a", "fd00::7"), at("b", "fd00::7")]).refused();
    assert!(errors[0].ends_with("provided IP is already allocated to Service default/a"));
}

#[test]
fn a_hundred_thousand_services_are_allocated_in_moments() {
    let long_run = (0..50_000u32).map(|i| {
        let address = std::net::Ipv4Addr::from(0x0a00_1000 + i);
        at(&format!("fixed-{i}"), &address.to_string())
    });
    let open = (0..50_000).map(|i| service(&format!("open-{i}")));
    let started = std::time::Instant::now();
    let cluster = Cluster::new("10.0.0.0/15", long_run.chain(open)).done();
    assert_eq!(cluster.allocations.len(), 100_000);
    // A scan without short cuts takes minutes here.
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

#[test]
fn a_full_range_is_refused_in_moments_too() {
    let many = (0..50_000).map(|i| service(&format!("s{i}")));
    let started = std::time::Instant::now();
    let errors = Cluster::v4(many).refused();
    assert_eq!(errors.len(), 50_000 - 16381);
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

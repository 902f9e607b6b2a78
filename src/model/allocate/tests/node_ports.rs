use super::*;

fn numbers(cluster: &Cluster, name: &str) -> Vec<u16> {
    let ports = cluster.node_ports(name).into_iter();
    ports.map(Option::unwrap).collect()
}

#[test]
fn fixed_node_ports_are_honoured() {
    let cluster = Cluster::v4([node_port("web", [on(30080, port("", 80))])]).done();
    assert_eq!(numbers(&cluster, "web"), [30080]);
}

#[test]
fn a_new_node_port_comes_from_the_dynamic_band_and_is_the_same_everywhere() {
    let cluster = Cluster::v4([node_port("web", [port("", 80)])]).done();
    // A golden value: SHA-256 of "default/web/80" decides, on every machine.
    assert_eq!(numbers(&cluster, "web"), [30140]);
}

#[test]
fn a_node_port_outside_the_range_is_refused_in_the_api_servers_words() {
    let mut cluster = Cluster::v4([node_port("web", [on(80, port("", 80))])]);
    assert_eq!(
        cluster.refused(),
        [
            "web: spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767"
        ]
    );
}

#[test]
fn two_services_with_one_node_port_are_refused_whatever_the_protocol() {
    let mut cluster = Cluster::v4([
        node_port("a", [on(30053, port("", 53))]),
        node_port("b", [on(30053, udp("", 53))]),
    ]);
    assert_eq!(
        cluster.refused(),
        [
            "b: spec.ports[0].nodePort: Invalid value: 30053: provided port is already allocated to Service default/a"
        ]
    );
}

#[test]
fn ports_that_differ_in_protocol_only_share_a_node_port() {
    let cluster = Cluster::v4([node_port("dns", [port("tcp", 53), udp("udp", 53)])]).done();
    let [tcp, udp_port] = numbers(&cluster, "dns")[..] else {
        panic!("two ports");
    };
    assert_eq!(tcp, udp_port);
}

#[test]
fn a_fixed_node_port_serves_the_other_protocol_too() {
    let ports = [port("tcp", 53), on(30053, udp("udp", 53))];
    let cluster = Cluster::v4([node_port("dns", ports)]).done();
    assert_eq!(numbers(&cluster, "dns"), [30053, 30053]);
}

#[test]
fn different_fixed_node_ports_of_one_port_number_are_both_taken() {
    let ports = [on(30054, port("tcp", 53)), on(30053, udp("udp", 53))];
    let cluster = Cluster::v4([node_port("dns", ports)]).done();
    assert_eq!(numbers(&cluster, "dns"), [30054, 30053]);
}

#[test]
fn one_node_port_for_two_port_numbers_is_refused() {
    let ports = [on(30053, port("a", 53)), on(30053, udp("b", 54))];
    let mut cluster = Cluster::v4([node_port("dns", ports)]);
    assert_eq!(
        cluster.refused(),
        [
            "dns: spec.ports[1].nodePort: Invalid value: 30053: provided port is already allocated to Service default/dns"
        ]
    );
}

#[test]
fn a_load_balancer_gets_node_ports_unless_it_declines() {
    let declines = |ports: Vec<ServicePort>| Service {
        allocate_node_ports: false,
        ..load_balancer("web", ports)
    };
    let allocated = Cluster::v4([load_balancer("web", [port("", 80)])]).done();
    assert!(allocated.node_ports("web")[0].is_some());
    let none = Cluster::v4([declines(vec![port("", 80)])]).done();
    assert_eq!(none.node_ports("web"), [None]);
    let mixed = vec![on(30080, port("a", 80)), port("b", 81), udp("c", 80)];
    let fixed = Cluster::v4([declines(mixed)]).done();
    assert_eq!(fixed.node_ports("web"), [Some(30080), None, None]);
}

#[test]
fn the_health_check_port_comes_from_the_same_range() {
    let local = |name: &str, health_check: Option<u16>| Service {
        external_traffic_policy: TrafficPolicy::Local,
        health_check_node_port: health_check,
        ..load_balancer(name, [on(30080, port("", 80))])
    };
    let chosen = Cluster::v4([local("web", None)]).done();
    let health_check = chosen.get("web").health_check_node_port.unwrap();
    assert!((30086..=32767).contains(&health_check) && health_check != 30080);

    let fixed = Cluster::v4([local("web", Some(31046))]).done();
    assert_eq!(fixed.get("web").health_check_node_port, Some(31046));

    assert_eq!(
        Cluster::v4([local("web", Some(30080))]).refused(),
        [
            "web: spec.healthCheckNodePort: Invalid value: 30080: failed to allocate requested HealthCheck NodePort 30080: provided port is already allocated to Service default/web"
        ]
    );
}

#[test]
fn types_without_node_ports_have_none() {
    let service = Service {
        service_type: ServiceType::ClusterIp,
        external_traffic_policy: TrafficPolicy::Local,
        health_check_node_port: Some(31000),
        ..node_port("web", [on(30080, port("", 80))])
    };
    let cluster = Cluster::v4([service]).done();
    assert_eq!(cluster.node_ports("web"), [None]);
    assert_eq!(cluster.get("web").health_check_node_port, None);
}

#[test]
fn a_full_node_port_range_is_an_error() {
    let services = ["a", "b", "c"].map(|name| node_port(name, [port("", 80)]));
    let mut cluster = Cluster::v4(services);
    cluster.ranges.node_ports = 30000..=30001;
    assert_eq!(
        cluster.refused(),
        ["c: spec.ports[0].nodePort: failed to allocate a nodePort: range is full (30000-30001)"]
    );
}

#[test]
fn the_static_band_is_the_last_to_be_used() {
    let names: Vec<_> = (0..17).map(|i| format!("s{i:02}")).collect();
    let mut cluster = Cluster::v4(names.iter().map(|n| node_port(n, [port("", 80)])));
    cluster.ranges.node_ports = 30000..=30016;
    let cluster = cluster.done();
    assert_eq!(numbers(&cluster, "s00"), [30016]);
}

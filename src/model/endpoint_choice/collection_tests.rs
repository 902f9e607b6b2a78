//! Which endpoints a service port has, out of all slices of its Service.

use super::*;
use crate::model::{EndpointPort, NamespacedName, Protocol, ServicePortName};

const NODE: &str = "n1";

fn service_port() -> ProxiedPort {
    ProxiedPort {
        name: ServicePortName {
            service: NamespacedName::new("ns1", "svc1"),
            port: "p80".into(),
            protocol: Protocol::Tcp,
        },
        cluster_ip: "172.30.0.41".parse().unwrap(),
        port: 80,
        node_port: None,
        external_ips: Vec::new(),
        load_balancer_vips: Vec::new(),
        source_ranges: Vec::new(),
        affinity_seconds: None,
        internal_local: false,
        external_local: false,
        health_check_node_port: None,
    }
}

fn slice(name: &str, port: EndpointPort, endpoints: Vec<Endpoint>) -> EndpointSlice {
    EndpointSlice {
        name: NamespacedName::new("ns1", name),
        service: NamespacedName::new("ns1", "svc1"),
        family: IpFamily::V4,
        ports: vec![port],
        endpoints,
    }
}

fn p80(number: u16) -> EndpointPort {
    EndpointPort {
        name: "p80".into(),
        protocol: Protocol::Tcp,
        port: number,
    }
}

fn pod(address: &str) -> Endpoint {
    Endpoint {
        address: address.parse().unwrap(),
        ready: true,
        serving: true,
        terminating: false,
        node_name: None,
        zone: None,
        zone_hints: Vec::new(),
        node_hints: Vec::new(),
        hostname: None,
        pod: None,
    }
}

fn texts(endpoints: &[EndpointAddress]) -> Vec<String> {
    endpoints.iter().map(|e| e.socket.to_string()).collect()
}

#[test]
fn endpoints_are_sorted_by_their_text() {
    let slices = [
        slice("b", p80(80), vec![pod("10.0.0.2"), pod("10.0.0.10")]),
        slice("a", p80(80), vec![pod("10.0.0.1"), pod("9.0.0.1")]),
    ];
    assert_eq!(
        texts(&endpoints_of(&service_port(), &slices, NODE)),
        ["10.0.0.10:80", "10.0.0.1:80", "10.0.0.2:80", "9.0.0.1:80"]
    );
}

#[test]
fn ports_are_matched_by_name_and_protocol_never_by_number() {
    let udp = EndpointPort {
        protocol: Protocol::Udp,
        ..p80(80)
    };
    let other_name = EndpointPort {
        name: "web".into(),
        ..p80(80)
    };
    let slices = [
        slice("a", p80(8080), vec![pod("10.0.0.1")]),
        slice("b", p80(9090), vec![pod("10.0.0.1")]),
        slice("c", udp, vec![pod("10.0.0.2")]),
        slice("d", other_name, vec![pod("10.0.0.3")]),
        slice("e", p80(0), vec![pod("10.0.0.4")]),
    ];
    assert_eq!(
        texts(&endpoints_of(&service_port(), &slices, NODE)),
        ["10.0.0.1:8080", "10.0.0.1:9090"]
    );
}

#[test]
fn slices_of_the_other_family_are_left_aside() {
    let mut other = slice("a", p80(80), vec![pod("fd00::1")]);
    other.family = IpFamily::V6;
    let mut v6_port = service_port();
    assert_eq!(endpoints_of(&v6_port, &[other.clone()], NODE), []);
    v6_port.cluster_ip = "fd00:10:96::41".parse().unwrap();
    assert_eq!(
        texts(&endpoints_of(&v6_port, &[other], NODE)),
        ["[fd00::1]:80"]
    );
}

#[test]
fn an_endpoint_is_local_if_its_node_is_ours_and_we_have_a_name() {
    let on = |node: &str| Endpoint {
        node_name: Some(node.into()),
        ..pod("10.0.0.1")
    };
    for (endpoint, own_name, expected) in [
        (on("n1"), "n1", true),
        (on("n2"), "n1", false),
        (pod("10.0.0.1"), "n1", false),
        (on(""), "", false),
    ] {
        let slices = [slice("a", p80(80), vec![endpoint])];
        let endpoints = endpoints_of(&service_port(), &slices, own_name);
        assert_eq!(endpoints[0].local, expected);
    }
}

#[test]
fn of_two_entries_for_an_address_the_later_counts_unless_it_is_terminating() {
    let running = |node: &str| Endpoint {
        node_name: Some(node.into()),
        ..pod("10.0.0.1")
    };
    let stopping = || Endpoint {
        ready: false,
        terminating: true,
        ..pod("10.0.0.1")
    };
    let both = |first: Endpoint, second: Endpoint| {
        let slices = [
            slice("a", p80(80), vec![first]),
            slice("b", p80(80), vec![second]),
        ];
        let mut endpoints = endpoints_of(&service_port(), &slices, NODE);
        assert_eq!(endpoints.len(), 1);
        endpoints.remove(0)
    };
    assert!(both(running("n2"), running("n1")).local);
    assert!(!both(running("n1"), running("n2")).local);
    assert!(both(stopping(), running("n1")).ready);
    assert!(both(running("n1"), stopping()).ready);
    assert!(both(stopping(), stopping()).terminating);
}

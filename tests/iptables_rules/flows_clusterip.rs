//! Traffic to cluster IPs.

use portolan::model::{IpFamily, Protocol};

use super::cluster::{describe, options, snapshot};
use super::simulator::Simulator;

const POD: &str = "10.0.0.9";

#[test]
fn a_pod_reaches_the_endpoints_of_the_service_and_port_it_asks_for() {
    let simulator = Simulator::new(
        &snapshot([
            describe("ns1/one", "172.30.0.41")
                .tcp("http", 80)
                .endpoints(&["10.180.0.1"]),
            describe("ns2/two", "172.30.0.42")
                .tcp("http", 80)
                .endpoints(&["10.180.0.1", "10.180.1.1"])
                .tcp("https", 443)
                .endpoints_at(8443, &["10.180.0.1", "10.180.1.1"]),
            describe("ns3/three", "172.30.0.43")
                .port("tcp", Protocol::Tcp, 80)
                .endpoints_at(8080, &["10.180.0.3"])
                .port("udp", Protocol::Udp, 80)
                .endpoints_at(8081, &["10.180.0.3"])
                .port("sctp", Protocol::Sctp, 80)
                .endpoints_at(8082, &["10.180.0.4"]),
        ]),
        &options(IpFamily::V4),
    );
    assert_eq!(simulator.tcp(POD, "172.30.0.41:80"), "10.180.0.1:80");
    assert_eq!(
        simulator.tcp(POD, "172.30.0.42:80"),
        "10.180.0.1:80, 10.180.1.1:80"
    );
    assert_eq!(
        simulator.tcp(POD, "172.30.0.42:443"),
        "10.180.0.1:8443, 10.180.1.1:8443"
    );
    let third = |protocol| simulator.send(protocol, POD, "172.30.0.43:80");
    assert_eq!(third(Protocol::Tcp), "10.180.0.3:8080");
    assert_eq!(third(Protocol::Udp), "10.180.0.3:8081");
    assert_eq!(third(Protocol::Sctp), "10.180.0.4:8082");
    assert_eq!(simulator.tcp(POD, "172.30.0.41:443"), "", "another port");
    assert_eq!(
        simulator.send(Protocol::Udp, POD, "172.30.0.41:80"),
        "",
        "another protocol"
    );
    assert_eq!(simulator.tcp(POD, "172.30.0.50:80"), "", "no such service");
}

#[test]
fn an_endpoint_that_reaches_itself_is_masqueraded() {
    let simulator = Simulator::new(
        &snapshot([describe("ns1/svc1", "172.30.0.41")
            .tcp("p80", 80)
            .endpoints(&["10.180.0.1", "10.180.1.1"])]),
        &options(IpFamily::V4),
    );
    assert_eq!(
        simulator.tcp("10.180.0.1", "172.30.0.41:80"),
        "10.180.0.1:80*, 10.180.1.1:80"
    );
}

#[test]
fn ipv6_works_alike() {
    let simulator = Simulator::new(
        &snapshot([describe("ns1/svc1", "fd00:10:96::41")
            .tcp("p80", 80)
            .node_port(30080)
            .endpoints(&["fd00:10::1", "fd00:10::2 local"])]),
        &options(IpFamily::V6),
    );
    assert_eq!(
        simulator.tcp("fd00:10::1", "[fd00:10:96::41]:80"),
        "[fd00:10::1]:80*, [fd00:10::2]:80"
    );
    assert_eq!(
        simulator.tcp("2001:db8:9::9", "[2001:db8::1]:30080"),
        "[fd00:10::1]:80*, [fd00:10::2]:80*"
    );
    assert_eq!(simulator.tcp("::1", "[::1]:30080"), "");
}

#[test]
fn without_endpoints_connections_are_refused_at_every_front_end() {
    let simulator = Simulator::new(
        &snapshot([describe("ns1/svc1", "172.30.0.41")
            .tcp("p80", 80)
            .node_port(30080)
            .vips(&["5.6.7.8"])
            .external_ips(&["192.168.99.11"])]),
        &options(IpFamily::V4),
    );
    for (source, destination) in [
        (POD, "172.30.0.41:80"),
        ("203.0.113.2", "192.168.99.11:80"),
        (POD, "192.168.0.2:30080"),
        ("203.0.113.2", "192.168.0.2:30080"),
        (POD, "5.6.7.8:80"),
        ("203.0.113.2", "5.6.7.8:80"),
        ("192.168.0.2", "172.30.0.41:80"),
        ("192.168.0.2", "192.168.0.2:30080"),
    ] {
        assert_eq!(
            simulator.tcp(source, destination),
            "REJECT",
            "{source} → {destination}"
        );
    }
}

#[test]
fn internal_policy_local_stays_on_the_node_or_drops() {
    let flow = |endpoints: &[&str]| {
        let simulator = Simulator::new(
            &snapshot([describe("ns1/svc1", "172.30.0.41")
                .tcp("p80", 80)
                .internal_local()
                .endpoints(endpoints)]),
            &options(IpFamily::V4),
        );
        simulator.tcp(POD, "172.30.0.41:80")
    };
    assert_eq!(flow(&["10.0.1.1 local", "10.0.1.2"]), "10.0.1.1:80");
    assert_eq!(
        flow(&["10.0.1.1 local", "10.0.1.2", "10.0.1.3 local"]),
        "10.0.1.1:80, 10.0.1.3:80"
    );
    assert_eq!(flow(&["10.0.1.1", "10.0.1.2"]), "DROP");
    assert_eq!(flow(&[]), "REJECT");
}

#[test]
fn affinity_leads_a_known_client_back_to_its_endpoint() {
    let snapshot = snapshot([describe("ns1/svc1", "172.30.0.41")
        .tcp("p80", 80)
        .affinity(10800)
        .endpoints(&["10.180.0.1", "10.180.0.2", "10.180.0.3"])]);
    let mut simulator = Simulator::new(&snapshot, &options(IpFamily::V4));
    assert_eq!(
        simulator.tcp(POD, "172.30.0.41:80"),
        "10.180.0.1:80, 10.180.0.2:80, 10.180.0.3:80"
    );
    simulator
        .remembered
        .insert("KUBE-SEP-SXIVWICOYRO3J4NJ".to_owned());
    assert_eq!(simulator.tcp(POD, "172.30.0.41:80"), "10.180.0.1:80");
}

//! Traffic from outside: external IPs, balancers' addresses, source ranges, policies.

use portolan::model::{IngressMode, IpFamily, LoadBalancerIngress, Snapshot};

use super::cluster::{Described, describe, options, snapshot};
use super::simulator::Simulator;

const POD: &str = "10.0.0.9";
const OUTSIDE: &str = "203.0.113.2";

fn all_front_ends() -> Described {
    describe("ns1/svc1", "172.30.0.41")
        .tcp("p80", 80)
        .node_port(30080)
        .vips(&["1.2.3.4"])
        .external_ips(&["192.168.99.11"])
        .health_check(32100)
}

fn simulate(described: Described) -> Simulator {
    Simulator::new(&snapshot([described]), &options(IpFamily::V4))
}

fn check(simulator: &Simulator, flows: &[(&str, &str, &str)]) {
    for (source, destination, expected) in flows {
        assert_eq!(
            simulator.tcp(source, destination),
            *expected,
            "{source} → {destination}"
        );
    }
}

#[test]
fn policy_local_keeps_the_clients_address_and_stays_on_the_node_except_for_pods() {
    let both = "10.180.0.1:80, 10.180.2.1:80";
    let endpoints = &["10.180.0.1", "10.180.2.1 local"];
    let simulator = simulate(all_front_ends().external_local().endpoints(endpoints));
    check(
        &simulator,
        &[
            (POD, "172.30.0.41:80", both),
            (POD, "192.168.99.11:80", both),
            (POD, "1.2.3.4:80", both),
            (POD, "192.168.0.2:30080", both),
            (OUTSIDE, "192.168.99.11:80", "10.180.2.1:80"),
            (OUTSIDE, "1.2.3.4:80", "10.180.2.1:80"),
            (OUTSIDE, "192.168.0.2:30080", "10.180.2.1:80"),
            (OUTSIDE, "192.168.0.2:32100", "ACCEPT"),
        ],
    );
}

#[test]
fn policy_cluster_reaches_every_endpoint_and_masquerades() {
    let both = "10.180.0.1:80, 10.180.2.1:80";
    let masqueraded = "10.180.0.1:80*, 10.180.2.1:80*";
    let endpoints = &["10.180.0.1", "10.180.2.1 local"];
    let simulator = simulate(all_front_ends().endpoints(endpoints));
    check(
        &simulator,
        &[
            (POD, "172.30.0.41:80", both),
            (POD, "192.168.99.11:80", masqueraded),
            (POD, "1.2.3.4:80", masqueraded),
            (POD, "192.168.0.2:30080", masqueraded),
            (OUTSIDE, "192.168.99.11:80", masqueraded),
            (OUTSIDE, "1.2.3.4:80", masqueraded),
            (OUTSIDE, "192.168.0.2:30080", masqueraded),
            (OUTSIDE, "192.168.0.2:32100", ""),
        ],
    );
}

#[test]
fn policy_local_without_local_endpoints_drops_what_comes_from_outside_only() {
    let simulator = simulate(all_front_ends().external_local().endpoints(&["10.180.0.1"]));
    check(
        &simulator,
        &[
            (POD, "172.30.0.41:80", "10.180.0.1:80"),
            (POD, "1.2.3.4:80", "10.180.0.1:80"),
            ("192.168.0.2", "1.2.3.4:80", "10.180.0.1:80*"),
            ("192.168.0.2", "192.168.0.2:30080", "10.180.0.1:80*"),
            (OUTSIDE, "192.168.99.11:80", "DROP"),
            (OUTSIDE, "1.2.3.4:80", "DROP"),
            (OUTSIDE, "192.168.0.2:30080", "DROP"),
        ],
    );
}

#[test]
fn source_ranges_guard_the_balancers_addresses_and_nothing_else() {
    let simulator = simulate(
        describe("ns1/svc1", "172.30.0.41")
            .tcp("p80", 80)
            .node_port(30080)
            .vips(&["1.2.3.4", "5.6.7.8"])
            .source_ranges(&["192.168.0.0/24", "203.0.113.0/25"])
            .endpoints(&["10.180.0.1"]),
    );
    check(
        &simulator,
        &[
            (POD, "172.30.0.41:80", "10.180.0.1:80"),
            (OUTSIDE, "192.168.0.2:30080", "10.180.0.1:80*"),
            (OUTSIDE, "1.2.3.4:80", "10.180.0.1:80*"),
            (OUTSIDE, "5.6.7.8:80", "10.180.0.1:80*"),
            // Not in a range: the node port stays open, the balancer's address does not.
            ("203.0.113.130", "192.168.0.2:30080", "10.180.0.1:80*"),
            ("203.0.113.130", "1.2.3.4:80", "DROP"),
            ("203.0.113.130", "5.6.7.8:80", "DROP"),
            (POD, "5.6.7.8:80", "DROP"),
            // The node is in a range, and so may talk as the balancer's address too.
            ("192.168.0.2", "5.6.7.8:80", "10.180.0.1:80*"),
            ("5.6.7.8", "5.6.7.8:80", "10.180.0.1:80*"),
        ],
    );
}

#[test]
fn a_node_outside_the_source_ranges_is_refused_as_well() {
    let simulator = simulate(
        describe("ns1/svc1", "172.30.0.41")
            .tcp("p80", 80)
            .vips(&["5.6.7.8"])
            .source_ranges(&["203.0.113.0/25"])
            .endpoints(&["10.180.0.1"]),
    );
    check(
        &simulator,
        &[
            ("192.168.0.2", "5.6.7.8:80", "DROP"),
            ("5.6.7.8", "5.6.7.8:80", "DROP"),
            (OUTSIDE, "5.6.7.8:80", "10.180.0.1:80*"),
        ],
    );
}

#[test]
fn source_ranges_with_policy_local_still_keep_the_clients_address() {
    let simulator = simulate(
        all_front_ends()
            .external_local()
            .source_ranges(&["203.0.113.0/25"])
            .endpoints(&["10.180.0.1", "10.180.2.1 local"]),
    );
    check(
        &simulator,
        &[
            (OUTSIDE, "1.2.3.4:80", "10.180.2.1:80"),
            ("203.0.113.130", "1.2.3.4:80", "DROP"),
            ("203.0.113.130", "192.168.99.11:80", "10.180.2.1:80"),
        ],
    );
}

#[test]
fn an_address_in_mode_proxy_is_left_to_the_balancer() {
    let flow = |ip_mode| {
        let mut snapshot: Snapshot = snapshot([all_front_ends().endpoints(&["10.180.0.1"])]);
        let service = snapshot.services.values_mut().next().unwrap();
        service.ingress = vec![LoadBalancerIngress {
            ip: Some("1.2.3.4".parse().unwrap()),
            hostname: None,
            ip_mode,
        }];
        Simulator::new(&snapshot, &options(IpFamily::V4)).tcp(OUTSIDE, "1.2.3.4:80")
    };
    assert_eq!(flow(IngressMode::Vip), "10.180.0.1:80*");
    assert_eq!(flow(IngressMode::Proxy), "");
}

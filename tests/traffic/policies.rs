//! `externalTrafficPolicy` and `internalTrafficPolicy`: Local, with and without local endpoints.

use serde_json::json;

use crate::support::program::is_agent_tested;
use crate::support::server::Server;
use crate::support::{Answer, Host, Mode, Outcome, Protocol, Service, Testbed};

const VIP: &str = "203.0.113.20:80";
const CLUSTER_IP: &str = "10.233.10.20:80";

fn service<'a>(pods: impl IntoIterator<Item = &'a Host>) -> Service {
    Service::new("web", "10.233.10.20")
        .load_balancer("203.0.113.20")
        .node_port(30020)
        .to(pods)
}

fn external_local(service: Service) -> Service {
    service.field("externalTrafficPolicy", json!("Local"))
}

fn internal_local(service: Service) -> Service {
    service.field("internalTrafficPolicy", json!("Local"))
}

fn dropped(client: &Host, target: &str) -> bool {
    client.dial(target).impatiently().once() == Outcome::TimedOut
}

#[test]
fn external_local_keeps_the_clients_address_and_stays_on_the_node() {
    let bed = Testbed::with_pods_and_far_pods(2, 2);
    bed.apply(&[external_local(service(bed.all_pods()))]);
    for target in [VIP, &bed.node.at(30020)] {
        let tally = bed.outside.dial(target).times(200);
        tally.assert_even_over(&["pod-1", "pod-2"]);
        assert!(tally.answers.iter().all(Answer::is_left_alone), "{tally}");
    }
}

#[test]
fn external_local_without_local_endpoints_drops_outside_clients() {
    let bed = Testbed::with_pods_and_far_pods(1, 1);
    bed.apply(&[external_local(service(&bed.far_pods))]);
    assert!(dropped(&bed.outside, VIP));
    assert!(dropped(&bed.outside, &bed.node.at(30020)));
    // Pods and the node itself are inside: for them every endpoint will do.
    bed.pod(1).dial(VIP).times(5).assert_only(&["far-1"]);
    bed.node.dial(VIP).times(5).assert_only(&["far-1"]);
    bed.pod(1).dial(CLUSTER_IP).times(5).assert_only(&["far-1"]);
}

#[test]
fn external_local_is_not_about_cluster_ips() {
    let bed = Testbed::with_pods_and_far_pods(3, 1);
    bed.apply(&[external_local(service(
        bed.pods[..2].iter().chain(&bed.far_pods),
    ))]);
    bed.pod(3)
        .dial(CLUSTER_IP)
        .times(200)
        .assert_even_over(&["far-1", "pod-1", "pod-2"]);
}

#[test]
fn internal_local_stays_on_the_node() {
    let bed = Testbed::with_pods_and_far_pods(3, 2);
    bed.apply(&[internal_local(service(
        bed.pods[..2].iter().chain(&bed.far_pods),
    ))]);
    for client in [bed.pod(3), &bed.node] {
        client
            .dial(CLUSTER_IP)
            .times(200)
            .assert_even_over(&["pod-1", "pod-2"]);
    }
    bed.outside
        .dial(&bed.node.at(30020))
        .times(200)
        .assert_even_over(&["far-1", "far-2", "pod-1", "pod-2"]);
}

#[test]
fn internal_local_without_local_endpoints_drops() {
    let bed = Testbed::with_pods_and_far_pods(1, 1);
    bed.apply(&[internal_local(service(&bed.far_pods))]);
    assert!(dropped(bed.pod(1), CLUSTER_IP));
    assert!(dropped(&bed.node, CLUSTER_IP));
    bed.outside.dial(VIP).times(5).assert_only(&["far-1"]);
}

/// kube-proxy's iptables mode has a rule in `INPUT` that accepts them; its nftables mode cannot,
/// because an accept ends one table only and another's drop is final.
#[test]
fn health_checks_get_through_to_a_node_that_accepts_nothing_in_iptables_mode_alone() {
    let bed = Testbed::with_pods(1);
    let service = external_local(service(&bed.pods));
    bed.apply(&[service.field("healthCheckNodePort", json!(32321))]);
    bed.node.namespace.run("iptables", &["-P", "INPUT", "DROP"]);
    // A running agent serves the first one itself.
    let ports = &[32321, 32322][usize::from(is_agent_tested())..];
    let start = |&port: &u16| Server::start(&bed.node.namespace, "n0", Protocol::Tcp, port);
    let _servers: Vec<_> = ports.iter().map(start).collect();
    match Mode::tested() {
        Mode::Iptables => {
            let checks = bed.outside.dial(&bed.node.at(32321)).times(5);
            checks.assert_only(&["n0"]);
        }
        Mode::Nftables => assert!(dropped(&bed.outside, &bed.node.at(32321))),
    }
    assert!(dropped(&bed.outside, &bed.node.at(32322)));
}

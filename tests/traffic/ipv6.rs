//! The main behaviours again over IPv6, and both families beside each other.

use serde_json::json;

use crate::support::{Answer, Host, Outcome, Service, Testbed};

const CLUSTER_IP: &str = "[fd00:10:233::10]:80";
const VIP: &str = "[fd00:203:0:113::10]:80";

fn service<'a>(pods: impl IntoIterator<Item = &'a Host>) -> Service {
    Service::new("web", "fd00:10:233::10")
        .load_balancer("fd00:203:0:113::10")
        .node_port(30080)
        .to(pods)
}

#[test]
fn a_cluster_ip_is_spread_evenly() {
    let bed = Testbed::with_pods_and_far_pods(3, 1);
    bed.apply(&[service(bed.pods[..2].iter().chain(&bed.far_pods))]);
    for client in [bed.pod(3), &bed.node] {
        let tally = client.dial(CLUSTER_IP).times(300);
        tally.assert_even_over(&["far-1", "pod-1", "pod-2"]);
    }
    let answer = bed.pod(3).dial(CLUSTER_IP).answer();
    assert!(answer.is_left_alone(), "{answer:?}");
}

#[test]
fn node_port_and_load_balancer_address_are_spread_evenly_and_masqueraded() {
    let bed = Testbed::with_pods(2);
    bed.apply(&[service(&bed.pods)]);
    for target in [VIP, &bed.node.at_v6(30080)] {
        let tally = bed.outside.dial(target).times(200);
        tally.assert_even_over(&["pod-1", "pod-2"]);
        assert!(
            tally
                .answers
                .iter()
                .all(crate::support::Answer::is_masqueraded),
            "{tally}"
        );
    }
    bed.node
        .dial(&bed.node.at_v6(30080))
        .times(40)
        .assert_only(&["pod-1", "pod-2"]);
}

#[test]
fn the_loopback_address_has_no_node_ports() {
    let bed = Testbed::with_pods(1);
    bed.apply(&[service(&bed.pods)]);
    assert_eq!(
        bed.node.dial("[::1]:30080").impatiently().once(),
        Outcome::Refused
    );
}

#[test]
fn a_pod_reaches_itself_masqueraded() {
    let bed = Testbed::with_pods(1);
    bed.apply(&[service(&bed.pods)]);
    for target in [CLUSTER_IP, VIP, &bed.node.at_v6(30080)] {
        let answer = bed.pod(1).dial(target).answer();
        assert!(answer.is_masqueraded(), "{target}: {answer:?}");
    }
}

#[test]
fn external_local_keeps_the_clients_address_and_stays_on_the_node() {
    let bed = Testbed::with_pods_and_far_pods(2, 1);
    let local = service(bed.all_pods()).field("externalTrafficPolicy", json!("Local"));
    bed.apply(&[local]);
    let tally = bed.outside.dial(&bed.node.at_v6(30080)).times(200);
    tally.assert_even_over(&["pod-1", "pod-2"]);
    assert!(tally.answers.iter().all(Answer::is_left_alone), "{tally}");
}

#[test]
fn source_ranges_let_in_whom_they_name_and_drop_the_others() {
    let bed = Testbed::with_pods(1);
    let ranges = json!(["fd00:192:168:10::1/128"]);
    bed.apply(&[service(&bed.pods).field("loadBalancerSourceRanges", ranges)]);
    bed.outside.dial(VIP).from("fd00:192:168:10::1").answer();
    let other = bed
        .outside
        .dial(VIP)
        .from("fd00:192:168:10::2")
        .impatiently();
    assert_eq!(other.once(), Outcome::TimedOut);
}

#[test]
fn without_endpoints_it_refuses() {
    let bed = Testbed::with_pods(1);
    bed.apply(&[service([])]);
    for client in [bed.pod(1), &bed.outside] {
        for target in [CLUSTER_IP, VIP, &bed.node.at_v6(30080)] {
            let outcome = client.dial(target).once();
            assert_eq!(outcome, Outcome::Refused, "{} to {target}", client.name);
        }
    }
    assert_eq!(bed.node.dial(CLUSTER_IP).once(), Outcome::Refused);
}

#[test]
fn a_client_stays_with_its_endpoint() {
    let bed = Testbed::with_pods(4);
    bed.apply(&[service(&bed.pods[..3]).sticky(600)]);
    let first = bed.pod(4).dial(CLUSTER_IP).answer().server;
    bed.pod(4).dial(CLUSTER_IP).times(40).assert_only(&[&first]);
}

#[test]
fn both_families_of_a_service_work() {
    let bed = Testbed::with_pods(3);
    let both = Service::new("both", "10.233.10.11").dual_stack("fd00:10:233::11");
    bed.apply(&[both.node_port(30011).to(&bed.pods[..2])]);
    for target in ["10.233.10.11:80", "[fd00:10:233::11]:80"] {
        bed.pod(3)
            .dial(target)
            .times(200)
            .assert_even_over(&["pod-1", "pod-2"]);
    }
    for target in [bed.node.at(30011), bed.node.at_v6(30011)] {
        bed.outside
            .dial(&target)
            .times(40)
            .assert_only(&["pod-1", "pod-2"]);
    }
}

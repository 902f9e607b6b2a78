//! A Service's cluster IP: who reaches it, which pods answer, whose address they see.

use crate::support::bed::POD_PORT;
use crate::support::program::is_userspace_tested;
use crate::support::server::Server;
use crate::support::{Answer, Mode, Outcome, Protocol, Service, Testbed};

const VIP: &str = "10.233.10.10:80";

fn web<'a>(pods: impl IntoIterator<Item = &'a crate::support::Host>) -> Service {
    Service::new("web", "10.233.10.10").to(pods)
}

#[test]
fn a_pod_reaches_every_endpoint_evenly() {
    let bed = Testbed::with_pods(4);
    bed.apply(&[web(&bed.pods[..3])]);
    let tally = bed.pod(4).dial(VIP).times(300);
    tally.assert_even_over(&["pod-1", "pod-2", "pod-3"]);
    assert!(tally.answers.iter().all(Answer::is_left_alone));
}

#[test]
fn the_node_reaches_every_endpoint_evenly() {
    let bed = Testbed::with_pods(3);
    bed.apply(&[web(&bed.pods)]);
    bed.node
        .dial(VIP)
        .times(300)
        .assert_even_over(&["pod-1", "pod-2", "pod-3"]);
}

#[test]
fn endpoints_on_both_nodes_share() {
    let bed = Testbed::with_pods_and_far_pods(3, 2);
    bed.apply(&[web(bed.pods[..2].iter().chain(&bed.far_pods))]);
    let tally = bed.pod(3).dial(VIP).times(400);
    tally.assert_even_over(&["far-1", "far-2", "pod-1", "pod-2"]);
}

#[test]
fn ten_endpoints_share() {
    let bed = Testbed::with_pods(10);
    bed.apply(&[web(&bed.pods)]);
    let mut names: Vec<_> = bed.pods.iter().map(|pod| pod.name.as_str()).collect();
    names.sort_unstable();
    bed.node.dial(VIP).times(800).assert_even_over(&names);
}

#[test]
fn curl_works_from_a_pod() {
    let bed = Testbed::with_pods(2);
    bed.apply(&[web(&bed.pods[..1])]);
    let text = bed.pod(2).curl("10.233.10.10");
    let own = if is_userspace_tested() {
        "10.233.65.254"
    } else {
        "10.233.65.2"
    };
    assert!(text.starts_with(&format!("pod-1 from {own}:")), "{text}");
}

#[test]
fn a_client_that_is_no_pod_is_masqueraded() {
    let bed = Testbed::with_pods(1);
    bed.apply(&[web(&bed.pods)]);
    let answer = bed.outside.dial(VIP).answer();
    assert_eq!(answer.seen.ip().to_string(), "10.233.65.254");
}

#[test]
fn with_masquerade_all_pods_are_masqueraded_too() {
    let bed = Testbed::with_pods(2);
    bed.apply_with(&[web(&bed.pods[..1])], &["--masquerade-all"]);
    let answer = bed.pod(2).dial(VIP).answer();
    assert_eq!(answer.seen.ip().to_string(), "10.233.65.254");
}

/// kube-proxy's iptables mode has no rule for them; its nftables mode refuses ports that a cluster
/// IP does not have and drops what goes to unallocated addresses of the service range
/// (`cluster-ips-check` in `pkg/proxy/nftables/proxier.go`).
#[test]
fn other_ports_and_addresses_end_as_in_kube_proxys_same_mode() {
    let bed = Testbed::with_pods(2);
    bed.apply(&[Service::new("web", "10.233.10.10")
        .port(Protocol::Tcp, 81)
        .to(&bed.pods[..1])]);
    // Port 80 has no endpoints, port 82 does not exist; the uplink has every address.
    assert_eq!(bed.pod(2).dial("10.233.10.10:81").answer().server, "pod-1");
    let _uplink = Server::start(&bed.uplink.namespace, "uplink", Protocol::Tcp, 82);
    for client in [bed.pod(2), &bed.node] {
        let end = |target| word(client.dial(target).impatiently().once());
        let (port, address) = (end("10.233.10.10:82"), end("10.233.10.12:80"));
        let expected = Mode::expects(["uplink", "uplink"], ["refused", "dropped"]);
        assert_eq!([&*port, &*address], expected, "{}", client.name);
    }
    // An address outside the service range is nobody's business.
    assert_eq!(bed.pod(2).dial("203.0.113.9:80").answer().server, "uplink");
}

fn word(outcome: Outcome) -> String {
    match outcome {
        Outcome::Answered(answer) => answer.server,
        Outcome::Refused => "refused".to_owned(),
        Outcome::TimedOut => "dropped".to_owned(),
        Outcome::Failed(words) => words,
    }
}

#[test]
fn services_do_not_mix() {
    let bed = Testbed::with_pods(3);
    let other = Service::new("other", "10.233.10.11").to(&bed.pods[1..2]);
    bed.apply(&[web(&bed.pods[..1]), other]);
    bed.pod(3).dial(VIP).times(20).assert_only(&["pod-1"]);
    bed.pod(3)
        .dial("10.233.10.11:80")
        .times(20)
        .assert_only(&["pod-2"]);
}

#[test]
fn pods_still_reach_each_other_directly() {
    let bed = Testbed::with_pods_and_far_pods(2, 1);
    bed.apply(&[web(&bed.pods)]);
    for target in [bed.pod(1), bed.far_pod(1)] {
        let answer = bed.pod(2).dial(&target.at(POD_PORT)).answer();
        assert_eq!(answer.server, target.name);
        assert!(!answer.is_masqueraded(), "{answer:?}");
    }
}

//! `sessionAffinity: ClientIP`.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::Duration;

use crate::support::{Mode, Service, Testbed};

const VIP: &str = "10.233.10.30:80";
const DAY: u32 = 86_400;

fn sticky(seconds: u32) -> Service {
    Service::new("web", "10.233.10.30")
        .node_port(30030)
        .sticky(seconds)
}

#[test]
fn a_client_stays_with_its_endpoint() {
    let bed = Testbed::with_pods(4);
    bed.apply(&[sticky(DAY).to(&bed.pods[..3])]);
    let first = bed.pod(4).dial(VIP).answer().server;
    bed.pod(4).dial(VIP).times(60).assert_only(&[&first]);
    // One client, whichever way it comes; in the nftables mode, each way is remembered by itself
    // (ADR 0005).
    let by_node_port = bed.pod(4).dial(&bed.node.at(30030));
    let first = Mode::expects(first, by_node_port.answer().server);
    by_node_port.times(20).assert_only(&[&first]);
}

#[test]
fn clients_are_spread() {
    let bed = Testbed::with_pods(10);
    bed.apply(&[sticky(DAY).to(&bed.pods[..3])]);
    let chosen: Vec<_> = bed
        .pods
        .iter()
        .map(|pod| pod.dial(VIP).answer().server)
        .collect();
    for (pod, server) in bed.pods.iter().zip(&chosen) {
        pod.dial(VIP).times(5).assert_only(&[server]);
    }
    // All ten with the same of three: once in 20 000 fair runs; and then once more.
    let distinct: BTreeSet<_> = chosen.iter().collect();
    let more = ["192.168.10.1", "192.168.10.2"].map(|source| {
        bed.outside
            .dial(&bed.node.at(30030))
            .from(source)
            .answer()
            .server
    });
    assert!(distinct.len() > 1 || more.iter().any(|server| !distinct.contains(server)));
}

#[test]
fn the_choice_is_free_again_after_the_timeout() {
    let bed = Testbed::with_pods(4);
    bed.apply(&[sticky(1).to(&bed.pods[..3])]);
    let first = bed.pod(4).dial(VIP).answer().server;
    // A fair choice of three repeats itself 40 times in a row once in ten million runs.
    let moved = (0..40).any(|_| {
        sleep(Duration::from_millis(2100)); // The kernel counts whole seconds.
        bed.pod(4).dial(VIP).answer().server != first
    });
    assert!(moved);
}

#[test]
fn every_connection_starts_the_timeout_anew() {
    let bed = Testbed::with_pods(4);
    bed.apply(&[sticky(2).to(&bed.pods[..3])]);
    let first = bed.pod(4).dial(VIP).answer().server;
    for _ in 0..4 {
        sleep(Duration::from_millis(1000)); // Half of the timeout each time, twice of it in all.
        assert_eq!(bed.pod(4).dial(VIP).answer().server, first);
    }
}

#[test]
fn a_client_whose_endpoint_is_gone_gets_another() {
    let bed = Testbed::with_pods(3);
    bed.apply(&[sticky(DAY).to(&bed.pods[..2])]);
    let first = bed.pod(3).dial(VIP).answer().server;
    let rest: Vec<_> = bed.pods[..2]
        .iter()
        .filter(|pod| pod.name != first)
        .collect();
    bed.apply(&[sticky(DAY).to(rest.iter().copied())]);
    bed.pod(3).dial(VIP).times(10).assert_only(&[&rest[0].name]);
}

#[test]
fn without_affinity_a_client_is_spread() {
    let bed = Testbed::with_pods(3);
    bed.apply(&[Service::new("web", "10.233.10.30").to(&bed.pods[..2])]);
    bed.pod(3)
        .dial(VIP)
        .times(200)
        .assert_even_over(&["pod-1", "pod-2"]);
}

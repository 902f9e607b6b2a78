//! Which endpoints are used: readiness, termination, topology.

use serde_json::json;

use crate::support::manifest::{hint_for_zone, terminating};
use crate::support::{Outcome, Service, Testbed};

const VIP: &str = "10.233.10.60:80";

fn service() -> Service {
    Service::new("web", "10.233.10.60").node_port(30060)
}

#[test]
fn terminating_endpoints_are_spared_while_others_are_ready() {
    let bed = Testbed::with_pods(3);
    bed.apply(&[service()
        .to(&bed.pods[..1])
        .to_with(&bed.pods[1..2], &terminating())]);
    bed.pod(3).dial(VIP).times(40).assert_only(&["pod-1"]);
}

#[test]
fn terminating_endpoints_serve_when_no_other_is_left() {
    let bed = Testbed::with_pods(3);
    bed.apply(&[service().to_with(&bed.pods[..2], &terminating())]);
    bed.pod(3)
        .dial(VIP)
        .times(200)
        .assert_even_over(&["pod-1", "pod-2"]);
}

#[test]
fn a_local_terminating_endpoint_beats_a_far_ready_one_for_outside_clients() {
    let bed = Testbed::with_pods_and_far_pods(1, 1);
    let local = service().field("externalTrafficPolicy", json!("Local"));
    bed.apply(&[local.to(&bed.far_pods).to_with(&bed.pods, &terminating())]);
    let tally = bed.outside.dial(&bed.node.at(30060)).times(20);
    tally.assert_only(&["pod-1"]);
    bed.node.dial(VIP).times(20).assert_only(&["far-1"]);
}

#[test]
fn an_endpoint_that_neither_is_ready_nor_serves_is_never_used() {
    let bed = Testbed::with_pods(2);
    let gone = json!({"conditions": {"ready": false, "serving": false, "terminating": true}});
    bed.apply(&[service().to_with(&bed.pods[..1], &gone)]);
    assert_eq!(bed.pod(2).dial(VIP).impatiently().once(), Outcome::Refused);
}

#[test]
fn zone_hints_keep_traffic_in_the_zone() {
    let bed = Testbed::with_pods_and_far_pods(3, 2);
    let here = hint_for_zone("here");
    let there = hint_for_zone("there");
    bed.apply(&[service()
        .to_with(&bed.pods[..2], &here)
        .to_with(&bed.far_pods, &there)]);
    bed.pod(3)
        .dial(VIP)
        .times(200)
        .assert_even_over(&["pod-1", "pod-2"]);
}

#[test]
fn one_endpoint_without_a_hint_frees_all() {
    let bed = Testbed::with_pods_and_far_pods(2, 2);
    let there = hint_for_zone("there");
    bed.apply(&[service().to(&bed.pods[..1]).to_with(&bed.far_pods, &there)]);
    bed.pod(2)
        .dial(VIP)
        .times(300)
        .assert_even_over(&["far-1", "far-2", "pod-1"]);
}

#[test]
fn hints_for_other_zones_only_free_all() {
    let bed = Testbed::with_pods_and_far_pods(1, 2);
    bed.apply(&[service().to_with(&bed.far_pods, &hint_for_zone("there"))]);
    bed.pod(1)
        .dial(VIP)
        .times(200)
        .assert_even_over(&["far-1", "far-2"]);
}

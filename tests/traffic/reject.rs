//! A Service without endpoints refuses at once, wherever it is asked.

use serde_json::json;

use crate::support::manifest::Service;
use crate::support::{Host, Outcome, Protocol, Testbed};

/// All frontends of `empty`: cluster IP, external IP, load balancer address, node port.
const FRONTENDS: [&str; 4] = [
    "10.233.10.40:80",
    "203.0.113.41:80",
    "203.0.113.40:80",
    "192.168.10.100:30040",
];

fn empty(protocol: Protocol) -> Service {
    Service::new("empty", "10.233.10.40")
        .over(protocol)
        .field("externalIPs", json!(["203.0.113.41"]))
        .load_balancer("203.0.113.40")
        .node_port(30040)
}

#[track_caller]
fn assert_refused(clients: [&Host; 3], protocol: Protocol) {
    for client in clients {
        for frontend in FRONTENDS {
            // "At once": before the first packet would be repeated.
            let outcome = client.dial(frontend).over(protocol).impatiently().once();
            assert_eq!(
                outcome,
                Outcome::Refused,
                "{} to {frontend} {protocol}",
                client.name
            );
        }
    }
}

#[test]
fn connections_are_refused() {
    let bed = Testbed::with_pods(1);
    bed.apply(&[empty(Protocol::Tcp)]);
    assert_refused([bed.pod(1), &bed.node, &bed.outside], Protocol::Tcp);
}

#[test]
fn datagrams_are_refused() {
    let bed = Testbed::with_pods(1);
    bed.apply(&[empty(Protocol::Udp)]);
    assert_refused([bed.pod(1), &bed.node, &bed.outside], Protocol::Udp);
}

#[test]
fn an_endpoint_that_is_not_ready_is_none() {
    let bed = Testbed::with_pods(2);
    let unready = json!({"conditions": {"ready": false, "serving": false, "terminating": false}});
    bed.apply(&[empty(Protocol::Tcp).to_with(&bed.pods[..1], &unready)]);
    assert_refused([bed.pod(2), &bed.node, &bed.outside], Protocol::Tcp);
}

#[test]
fn endpoints_that_come_and_go_are_noticed() {
    let bed = Testbed::with_pods(2);
    for _ in 0..2 {
        bed.apply(&[empty(Protocol::Tcp)]);
        assert_refused([bed.pod(2), &bed.node, &bed.outside], Protocol::Tcp);
        bed.apply(&[empty(Protocol::Tcp).to(&bed.pods[..1])]);
        for frontend in FRONTENDS {
            bed.outside.dial(frontend).times(3).assert_only(&["pod-1"]);
        }
    }
}

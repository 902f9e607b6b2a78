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

/// The node itself is refused on what packets reach before they leave it: kube-proxy's rules for
/// external addresses are about packets that come in or pass through.
#[track_caller]
fn assert_refused(bed: &Testbed, protocol: Protocol) {
    for client in [&bed.pods[0], &bed.outside] {
        for frontend in FRONTENDS {
            assert_refused_from(client, frontend, protocol);
        }
    }
    for frontend in ["10.233.10.40:80", "192.168.10.100:30040", "127.0.0.1:30040"] {
        assert_refused_from(&bed.node, frontend, protocol);
    }
}

#[track_caller]
fn assert_refused_from(client: &Host, frontend: &str, protocol: Protocol) {
    // A refusal may take a second: TCP takes an ICMP error that arrives while it still sends for
    // a passing trouble, and believes the one that its next packet brings.
    let outcome = client.dial(frontend).over(protocol).once();
    assert_eq!(
        outcome,
        Outcome::Refused,
        "{} to {frontend} {protocol}",
        client.name
    );
}

#[test]
fn connections_are_refused() {
    let bed = Testbed::with_pods(1);
    bed.apply(&[empty(Protocol::Tcp)]);
    assert_refused(&bed, Protocol::Tcp);
}

#[test]
fn datagrams_are_refused() {
    let bed = Testbed::with_pods(1);
    bed.apply(&[empty(Protocol::Udp)]);
    assert_refused(&bed, Protocol::Udp);
}

#[test]
fn an_endpoint_that_is_not_ready_is_none() {
    let bed = Testbed::with_pods(2);
    let unready = json!({"conditions": {"ready": false, "serving": false, "terminating": false}});
    bed.apply(&[empty(Protocol::Tcp).to_with(&bed.pods[..1], &unready)]);
    assert_refused(&bed, Protocol::Tcp);
}

#[test]
fn endpoints_that_come_and_go_are_noticed() {
    let bed = Testbed::with_pods(2);
    for _ in 0..2 {
        bed.apply(&[empty(Protocol::Tcp)]);
        assert_refused(&bed, Protocol::Tcp);
        bed.apply(&[empty(Protocol::Tcp).to(&bed.pods[..1])]);
        for frontend in FRONTENDS {
            bed.outside.dial(frontend).times(3).assert_only(&["pod-1"]);
        }
    }
}

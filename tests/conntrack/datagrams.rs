//! UDP: a client with a fixed source port is one connection for ever.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::client::{By, Client, eventually, flows};
use crate::support::{Host, Outcome, Protocol, Service, Testbed};

const VIP: &str = "10.233.10.70";
const TARGET: &str = "10.233.10.70:80";

fn dns<'a>(pods: impl IntoIterator<Item = &'a Host>) -> Service {
    Service::new("dns", VIP)
        .over(Protocol::Udp)
        .node_port(30053)
        .to(pods)
}

#[test]
fn k125467_a_client_with_a_fixed_source_port_leaves_an_endpoint_that_went() {
    for by in By::ALL {
        let bed = Testbed::with_pods(3);
        by.program(&bed, &[dns(&bed.pods[..1])]);
        let inside = Client::new(&bed.pod(3).namespace, 5353, TARGET);
        let outside = Client::new(&bed.outside.namespace, 5353, &bed.node.at(30053));
        let on_node = Client::new(&bed.node.namespace, 5353, TARGET);
        for client in [&inside, &outside, &on_node] {
            assert_eq!(client.ask().as_deref(), Ok("pod-1"), "{by:?}");
        }
        by.program(&bed, &[dns(&bed.pods[1..2])]);
        for client in [&inside, &outside, &on_node] {
            client.eventually(Ok("pod-2"));
        }
    }
}

#[test]
fn k125467_the_same_over_ipv6() {
    for by in By::ALL {
        let bed = Testbed::with_pods(3);
        let dns = |pods| {
            Service::new("dns", "fd00:10:233::70")
                .over(Protocol::Udp)
                .node_port(30053)
                .to(pods)
        };
        by.program(&bed, &[dns(&bed.pods[..1])]);
        let inside = Client::new(&bed.pod(3).namespace, 5353, "[fd00:10:233::70]:80");
        let outside = Client::new(&bed.outside.namespace, 5353, &bed.node.at_v6(30053));
        for client in [&inside, &outside] {
            assert_eq!(client.ask().as_deref(), Ok("pod-1"), "{by:?}");
        }
        by.program(&bed, &[dns(&bed.pods[1..2])]);
        for client in [&inside, &outside] {
            client.eventually(Ok("pod-2"));
        }
    }
}

#[test]
fn k125467_who_uses_another_endpoint_is_not_disturbed() {
    for by in By::ALL {
        let bed = Testbed::with_pods(3);
        by.program(&bed, &[dns(&bed.pods[..2])]);
        let clients: Vec<_> = (5000..5020)
            .map(|port| Client::new(&bed.pod(3).namespace, port, TARGET))
            .collect();
        let first: Vec<_> = clients.iter().map(|client| client.ask().unwrap()).collect();
        let table = || flows(&bed, &["-p", "udp", "--orig-dst", VIP]);
        let of_pod_2 = |flow: &&String| flow.contains(&format!("src={} ", bed.pod(2).v4));
        let key = |flow: &String| flow.rsplit(" id=").next().map(str::to_owned);
        let before: Vec<_> = table().iter().filter(of_pod_2).map(key).collect();
        assert!(!before.is_empty() && before.len() < 20, "{first:?}");
        by.program(&bed, &[dns(&bed.pods[1..2])]);
        for client in &clients {
            client.eventually(Ok("pod-2"));
        }
        let after: Vec<_> = table().iter().map(key).collect();
        let gone: Vec<_> = before.iter().filter(|id| !after.contains(id)).collect();
        assert!(gone.is_empty(), "{by:?}: {gone:?} of {before:?}");
    }
}

#[test]
fn k139628_flows_of_a_service_that_went_to_zero_endpoints_go() {
    for by in By::ALL {
        let bed = Testbed::with_pods(3);
        by.program(&bed, &[dns(&bed.pods[..1])]);
        let inside = Client::new(&bed.pod(3).namespace, 5353, TARGET);
        let outside = Client::new(&bed.outside.namespace, 5353, &bed.node.at(30053));
        for client in [&inside, &outside] {
            assert_eq!(client.ask().as_deref(), Ok("pod-1"), "{by:?}");
        }
        by.program(&bed, &[dns([])]);
        // What is refused can be told to the client; what goes to a dead pod cannot.
        for client in [&inside, &outside] {
            client.eventually(Err(&Outcome::Refused));
        }
        by.program(&bed, &[dns(&bed.pods[1..2])]);
        for client in [&inside, &outside] {
            client.eventually(Ok("pod-2"));
        }
    }
}

#[test]
fn k139628_flows_of_a_service_that_was_deleted_go() {
    for by in By::ALL {
        let bed = Testbed::with_pods(3);
        let other = Service::new("other", "10.233.10.71")
            .over(Protocol::Udp)
            .to(&bed.pods[..1]);
        by.program(&bed, &[dns(&bed.pods[..1]), other.clone()]);
        let inside = Client::new(&bed.pod(3).namespace, 5353, TARGET);
        let outside = Client::new(&bed.outside.namespace, 5353, &bed.node.at(30053));
        let third = Client::new(&bed.pod(2).namespace, 5353, "10.233.10.71:80");
        for client in [&inside, &outside, &third] {
            assert_eq!(client.ask().as_deref(), Ok("pod-1"), "{by:?}");
        }
        by.program(&bed, &[other]);
        let left = |vip| flows(&bed, &["-p", "udp", "--orig-dst", vip]).len();
        eventually("the flows are gone", || {
            left(VIP) == 0 && left(&bed.node.v4) == 0
        });
        assert_eq!(left("10.233.10.71"), 1, "{by:?}: of the other Service");
    }
}

#[test]
fn k103857_a_client_that_was_there_before_the_service_reaches_its_first_endpoint() {
    // Cluster IPs without a Service are dropped in nftables mode; others lead anywhere.
    const EXTERNAL: &str = "203.0.113.70";
    fn external<'a>(pods: impl IntoIterator<Item = &'a Host>) -> Service {
        dns(pods).field("externalIPs", json!([EXTERNAL]))
    }
    for by in By::ALL {
        for first in [vec![], vec![external([])]] {
            let bed = Testbed::with_pods(3);
            by.program(&bed, &first);
            let client = Client::new(&bed.pod(3).namespace, 5353, "203.0.113.70:80");
            // Without a rule the way leads to the uplink, and so does the connection.
            let _ = client.ask();
            let known = flows(&bed, &["-p", "udp", "--orig-dst", EXTERNAL]).len();
            assert_eq!(known, usize::from(first.is_empty()), "{by:?}");
            // If the entry went before the rule came, one of these would make it anew.
            let ready = AtomicBool::new(false);
            thread::scope(|scope| {
                scope.spawn(|| {
                    while !ready.load(Ordering::Relaxed) {
                        let _ = client.ask();
                        thread::sleep(Duration::from_micros(200));
                    }
                });
                by.program(&bed, &[external(&bed.pods[..1])]);
                ready.store(true, Ordering::Relaxed);
            });
            client.eventually(Ok("pod-1"));
        }
    }
}

#[test]
fn an_endpoint_that_terminates_and_still_serves_keeps_its_flows() {
    let bed = Testbed::with_pods(3);
    By::Run.program(&bed, &[dns(&bed.pods[..1])]);
    let client = Client::new(&bed.pod(3).namespace, 5353, TARGET);
    assert_eq!(client.ask().as_deref(), Ok("pod-1"));
    let draining = Service::new("dns", VIP)
        .over(Protocol::Udp)
        .node_port(30053)
        .to(&bed.pods[1..2])
        .to_with(&bed.pods[..1], &crate::support::manifest::terminating());
    By::Run.program(&bed, &[draining]);
    thread::sleep(Duration::from_millis(500));
    assert_eq!(client.ask().as_deref(), Ok("pod-1"), "it drains");
    By::Run.program(&bed, &[dns(&bed.pods[1..2])]);
    client.eventually(Ok("pod-2"));
}

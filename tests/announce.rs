//! Addresses of load balancers on the nodes' own network: three nodes, a client and a pod on one
//! switch, each a network namespace; real ARP and neighbour discovery by the client's kernel.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a failed test"
)]

mod api_server;
mod support;

#[path = "announce/bed.rs"]
mod bed;
#[path = "announce/client.rs"]
mod client;
#[path = "announce/cluster.rs"]
mod cluster;
#[path = "announce/frames.rs"]
mod frames;
#[path = "announce/giving.rs"]
mod giving;
#[path = "announce/lost.rs"]
mod lost;
#[path = "announce/objects.rs"]
mod objects;

use std::time::Duration;

use bed::{Bed, VIPS};
use nix::sys::signal::Signal;

/// Three heartbeats that are missed, and time for a machine that is slow.
const FAILOVER: Duration = Duration::from_secs(10);

#[test]
fn a_node_that_fails_is_replaced_while_a_client_connects() {
    let mut bed = Bed::new("Cluster", true);
    bed.start_all();
    let owner = bed.owner_of_all();
    bed.reaches();
    let took = bed.while_connecting(Duration::from_millis(500), |bed| {
        bed.fail(owner);
        bed.until_connected();
    });
    assert!(took.outage < FAILOVER, "{took:?}");
    // At least one SYN went to the node that is no more.
    assert!(took.outage > Duration::from_millis(900), "{took:?}");
    println!("a node failed: {took:?}");
    let other = bed.owner_of_all();
    assert_ne!(other, owner);
    // It comes back, and with it what was its part: the others give it up when it takes it.
    let took = bed.while_connecting(Duration::from_secs(4), |bed| {
        bed.heal(owner);
        let start = std::time::Instant::now();
        while bed.owner_now(VIPS[0]) != Some(owner) || bed.owner_now(VIPS[1]) != Some(owner) {
            bed.check();
            assert!(start.elapsed() < 3 * FAILOVER, "it does not come back");
        }
    });
    assert_eq!(took.failures, 0, "{took:?}");
}

#[test]
fn a_node_that_stops_hands_over_first() {
    let mut bed = Bed::new("Cluster", true);
    bed.start_all();
    let owner = bed.owner_of_all();
    bed.reaches();
    let took = bed.while_connecting(Duration::from_secs(4), |bed| {
        bed.stop(owner, Signal::SIGTERM);
    });
    assert_eq!(took.failures, 0, "{took:?}");
    assert_ne!(bed.owner_of_all(), owner);
}

#[test]
fn nobody_answers_without_a_ready_endpoint_or_on_a_node_about_to_be_drained() {
    let mut bed = Bed::new("Cluster", false);
    bed.start_all();
    // Long enough for every node to have begun, if it were to.
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(VIPS.map(|vip| bed.owner_now(vip)), [None, None]);
    bed.write("Cluster", true, None);
    let owner = bed.owner_of_all();
    bed.reaches();
    // kubectl drain begins with this.
    let took = bed.while_connecting(Duration::from_secs(1), |bed| {
        bed.write("Cluster", true, Some(owner));
        let start = std::time::Instant::now();
        while bed.owner_of_all() == owner {
            assert!(start.elapsed() < FAILOVER, "still at node {owner}");
        }
    });
    assert_eq!(took.failures, 0, "{took:?}");
    bed.write("Cluster", false, None);
    let start = std::time::Instant::now();
    while VIPS.iter().any(|vip| bed.owner_now(vip).is_some()) {
        assert!(start.elapsed() < FAILOVER, "without an endpoint");
    }
}

#[test]
fn with_policy_local_the_node_of_the_endpoint_answers() {
    let mut bed = Bed::new("Local", true);
    bed.start_all();
    assert_eq!(bed.owner_of_all(), bed::ENDPOINT_NODE);
    // It is the only one: without it nobody answers.
    bed.write("Local", true, Some(bed::ENDPOINT_NODE));
    let start = std::time::Instant::now();
    while VIPS.iter().any(|vip| bed.owner_now(vip).is_some()) {
        assert!(start.elapsed() < FAILOVER, "somebody else answers");
    }
}

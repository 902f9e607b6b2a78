//! In a cluster: one node for each Service by a Lease of the API server.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::bed::{Bed, ENDPOINT_NODE, VIPS};

/// Leases last 3 s here; then others look for up to half a second, and take the Lease.
const FAILOVER: Duration = Duration::from_secs(15);
pub(crate) const LEASE: &str = "portolan-lb.default.web";

pub(crate) fn holder(bed: &Bed) -> Option<String> {
    let server = bed.server.as_ref().unwrap();
    let holders = server.lease_holders();
    let of_it = holders.into_iter().find(|(name, _)| name == LEASE);
    of_it.and_then(|(_, holder)| holder)
}

/// Whoever answers holds the Lease.
pub(crate) fn owner(bed: &mut Bed) -> usize {
    let owner = bed.owner_of_all();
    assert_eq!(holder(bed), Some(format!("n{owner}")));
    owner
}

#[test]
fn the_holder_of_the_lease_answers_and_is_replaced_when_it_fails() {
    let mut bed = Bed::in_cluster("Cluster", true);
    bed.start_all();
    let first = owner(&mut bed);
    bed.reaches();
    // Nobody else answers, however often it is asked, and the Lease stays with the one who does.
    for _ in 0..5 {
        assert_eq!(VIPS.map(|vip| bed.owner_now(vip)), [Some(first); 2]);
    }
    let took = bed.while_connecting(Duration::from_millis(500), |bed| {
        bed.fail(first);
        bed.until_connected();
    });
    println!("a node failed: {took:?}");
    assert!(took.outage < FAILOVER, "{took:?}");
    assert!(took.outage > Duration::from_millis(900), "{took:?}");
    let second = owner(&mut bed);
    assert_ne!(second, first);
    // One that comes back takes nothing from others.
    let took = bed.while_connecting(Duration::from_secs(4), |bed| bed.heal(first));
    assert_eq!(took.failures, 0, "{took:?}");
    assert_eq!(owner(&mut bed), second);
}

#[test]
fn a_node_that_stops_or_is_cordoned_lets_go_of_its_lease_and_no_connection_fails() {
    let mut bed = Bed::in_cluster("Cluster", true);
    bed.start_all();
    let first = owner(&mut bed);
    bed.reaches();
    let took = bed.while_connecting(Duration::from_secs(3), |bed| {
        bed.stop(first, Signal::SIGTERM);
    });
    assert_eq!(took.failures, 0, "{took:?}");
    let second = owner(&mut bed);
    assert_ne!(second, first);
    let took = bed.while_connecting(Duration::from_secs(4), |bed| {
        bed.write("Cluster", true, Some(second));
    });
    assert_eq!(took.failures, 0, "{took:?}");
    let third = owner(&mut bed);
    assert!(third != second && third != first, "{third}");
}

#[test]
fn nobody_holds_a_lease_without_a_ready_endpoint_and_the_endpoints_node_with_policy_local() {
    let mut bed = Bed::in_cluster("Local", false);
    bed.start_all();
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(VIPS.map(|vip| bed.owner_now(vip)), [None, None]);
    assert_eq!(holder(&bed), None);
    bed.write("Local", true, None);
    assert_eq!(owner(&mut bed), ENDPOINT_NODE);
    bed.write("Local", false, None);
    let start = Instant::now();
    let there = |bed: &Bed| {
        let leases = bed.server.as_ref().unwrap().lease_holders();
        leases.iter().any(|(name, _)| name == LEASE)
    };
    while there(&bed) {
        assert!(start.elapsed() < FAILOVER, "the Lease stays");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(VIPS.map(|vip| bed.owner_now(vip)), [None, None]);
}

#[test]
fn who_cannot_renew_stops_and_goes_on_when_the_server_is_back() {
    let mut bed = Bed::in_cluster("Cluster", true);
    bed.start_all();
    owner(&mut bed);
    bed.server.as_ref().unwrap().stop();
    let down = Instant::now();
    while bed.owner_now(VIPS[0]).is_some() {
        bed.check();
        assert!(down.elapsed() < FAILOVER, "it goes on without its Lease");
    }
    bed.server.as_ref().unwrap().start_again();
    owner(&mut bed);
    bed.reaches();
}

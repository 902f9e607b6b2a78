//! The traffic truth table: who reaches what, and with whose address.
//!
//! Service A has policy `Cluster` inside and outside, B `externalTrafficPolicy: Local`, C
//! `internalTrafficPolicy: Local`. Each has one endpoint on this node and one elsewhere.

use portolan::model::{IpFamily, Snapshot};
use portolan::translate::iptables::{IptablesOptions, LocalDetector};

use super::cluster::{Described, describe, options, snapshot};
use super::simulator::Simulator;

const POD: &str = "10.0.0.9";
const THIS_NODE: &str = "192.168.0.2";
const LOCALHOST: &str = "127.0.0.1";
const OUTSIDE: &str = "203.0.113.2";

/// Both endpoints, or the local one; with a star if masqueraded.
const ALL: &str = "10.180.0.1:80, 10.180.1.1:80";
const ALL_M: &str = "10.180.0.1:80*, 10.180.1.1:80*";
const LOC: &str = "10.180.0.1:80";
const LOC_M: &str = "10.180.0.1:80*";

fn services() -> Snapshot {
    let one = |letter: &str, number: u16| -> Described {
        describe(&format!("ns/{letter}"), &format!("172.30.0.{number}"))
            .tcp("p80", 80)
            .node_port(30000 + number)
            .vips(&[&format!("5.6.7.{number}")])
    };
    let endpoints = &["10.180.0.1 local", "10.180.1.1"];
    snapshot([
        one("a", 1).endpoints(endpoints),
        one("b", 2).external_local().endpoints(endpoints),
        one("c", 3).internal_local().endpoints(endpoints),
    ])
}

/// One row of the table: the outcomes at the cluster IP and at the outer front ends of A, B, C.
fn row(simulator: &Simulator, source: &str) -> [String; 6] {
    let at = |number: u16| {
        let cluster_ip = simulator.tcp(source, &format!("172.30.0.{number}:80"));
        let node_port = simulator.tcp(source, &format!("192.168.0.2:{}", 30000 + number));
        let vip = simulator.tcp(source, &format!("5.6.7.{number}:80"));
        assert_eq!(node_port, vip, "{source} {number}");
        [cluster_ip, node_port]
    };
    let [a, b, c] = [at(1), at(2), at(3)];
    let [a, a_out] = a;
    let [b, b_out] = b;
    let [c, c_out] = c;
    [a, a_out, b, b_out, c, c_out]
}

fn check(options: &IptablesOptions, rows: [(&str, [&str; 6]); 3]) {
    let simulator = Simulator::new(&services(), options);
    for (source, expected) in rows {
        assert_eq!(row(&simulator, source), expected, "{source}");
    }
    for number in 1..=3 {
        let destination = format!("127.0.0.1:{}", 30000 + number);
        assert_eq!(simulator.tcp(LOCALHOST, &destination), ALL_M);
    }
}

#[test]
fn with_a_detector() {
    check(
        &options(IpFamily::V4),
        [
            (POD, [ALL, ALL_M, ALL, ALL, LOC, ALL_M]),
            (THIS_NODE, [ALL_M, ALL_M, ALL_M, ALL_M, LOC_M, ALL_M]),
            (OUTSIDE, [ALL_M, ALL_M, ALL_M, LOC, LOC_M, ALL_M]),
        ],
    );
}

#[test]
fn without_a_detector_cluster_ips_are_not_masqueraded_and_pods_count_as_outside() {
    let options = IptablesOptions {
        local_detector: LocalDetector::None,
        ..options(IpFamily::V4)
    };
    check(
        &options,
        [
            (POD, [ALL, ALL_M, ALL, LOC, LOC, ALL_M]),
            (THIS_NODE, [ALL, ALL_M, ALL, ALL_M, LOC, ALL_M]),
            (OUTSIDE, [ALL, ALL_M, ALL, LOC, LOC, ALL_M]),
        ],
    );
}

#[test]
fn masquerade_all_covers_every_cluster_ip() {
    let options = IptablesOptions {
        masquerade_all: true,
        ..options(IpFamily::V4)
    };
    check(
        &options,
        [
            (POD, [ALL_M, ALL_M, ALL_M, ALL, LOC_M, ALL_M]),
            (THIS_NODE, [ALL_M, ALL_M, ALL_M, ALL_M, LOC_M, ALL_M]),
            (OUTSIDE, [ALL_M, ALL_M, ALL_M, LOC, LOC_M, ALL_M]),
        ],
    );
}

#[test]
fn masquerade_all_needs_no_detector() {
    let options = IptablesOptions {
        masquerade_all: true,
        local_detector: LocalDetector::None,
        ..options(IpFamily::V4)
    };
    check(
        &options,
        [
            (POD, [ALL_M, ALL_M, ALL_M, LOC, LOC_M, ALL_M]),
            (THIS_NODE, [ALL_M, ALL_M, ALL_M, ALL_M, LOC_M, ALL_M]),
            (OUTSIDE, [ALL_M, ALL_M, ALL_M, LOC, LOC_M, ALL_M]),
        ],
    );
}

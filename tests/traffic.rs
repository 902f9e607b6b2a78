//! Real packets through the rules that portolan writes, in network namespaces of our own.
//!
//! Each module is a theme; each test says what a client must see. Root is needed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a failed test"
)]

mod support;

#[path = "traffic/affinity.rs"]
mod affinity;
#[path = "traffic/bed.rs"]
mod bed;
#[path = "traffic/cluster_ip.rs"]
mod cluster_ip;
#[path = "traffic/endpoints.rs"]
mod endpoints;
#[path = "traffic/examples.rs"]
mod examples;
#[path = "traffic/hairpin.rs"]
mod hairpin;
#[path = "traffic/iptables/mod.rs"]
mod iptables;
#[path = "traffic/ipv6.rs"]
mod ipv6;
#[path = "traffic/lifecycle/mod.rs"]
mod lifecycle;
#[path = "traffic/load_balancer.rs"]
mod load_balancer;
#[path = "traffic/node_port.rs"]
mod node_port;
#[path = "traffic/policies.rs"]
mod policies;
#[path = "traffic/protocols.rs"]
mod protocols;
#[path = "traffic/reject.rs"]
mod reject;
#[path = "traffic/spread.rs"]
mod spread;
#[path = "traffic/truth_table.rs"]
mod truth_table;

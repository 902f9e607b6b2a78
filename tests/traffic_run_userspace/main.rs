//! Real packets while `portolan run` forwards in userspace mode: a client sees what it sees in the
//! other modes, but for what a second connection cannot hide.
//!
//! The shared modules are those of `traffic_nftables`; in this binary their `apply` writes files
//! that an agent follows (`support::follower`). Root is needed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a failed test"
)]

#[path = "../support/mod.rs"]
mod support;

#[path = "../traffic/affinity.rs"]
mod affinity;
#[allow(
    dead_code,
    reason = "made for the tests of `run`, which ask more of it"
)]
#[path = "../run/agent.rs"]
mod agent;
#[path = "../traffic/cluster_ip.rs"]
mod cluster_ip;
mod datagrams;
#[path = "../traffic/endpoints.rs"]
mod endpoints;
mod forwarding;
#[path = "../traffic/hairpin.rs"]
mod hairpin;
#[path = "../traffic/ipv6.rs"]
mod ipv6;
mod life;
#[path = "../traffic_run/lifecycle.rs"]
mod lifecycle;
mod limits;
#[path = "../traffic/load_balancer.rs"]
mod load_balancer;
#[path = "../traffic/node_port.rs"]
mod node_port;
#[path = "../traffic/policies.rs"]
mod policies;
#[path = "../traffic/protocols.rs"]
mod protocols;
#[path = "../traffic/reject.rs"]
mod reject;
#[path = "../traffic/spread.rs"]
mod spread;
#[path = "../traffic/truth_table.rs"]
mod truth_table;

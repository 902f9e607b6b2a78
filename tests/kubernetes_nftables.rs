//! The tests of `kubernetes`, in nftables mode.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a failed test"
)]
#![allow(
    dead_code,
    reason = "shared with the tests of `run`, which use more of it"
)]

mod api_server;
mod support;

#[path = "kubernetes/access.rs"]
mod access;
#[path = "run/agent.rs"]
mod agent;
#[path = "kubernetes/cluster.rs"]
mod cluster;
#[path = "kubernetes/failures.rs"]
mod failures;
#[path = "kubernetes/following.rs"]
mod following;
#[path = "kubernetes/kills.rs"]
mod kills;
#[path = "traffic/lifecycle/stop.rs"]
mod stop;
#[path = "kubernetes/told.rs"]
mod told;

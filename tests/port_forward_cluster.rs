//! `portolan port-forward` through an API server: ports of the loopback lead to pods, each a network
//! namespace that nothing but its kubelet reaches. Root is needed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a failed test"
)]
#![allow(dead_code, reason = "shared with other tests, which use more of it")]

mod api_server;
mod support;

#[path = "port_forward_cluster/cluster.rs"]
mod cluster;
#[path = "port_forward_cluster/forward.rs"]
mod forward;
#[path = "port_forward_cluster/mistakes.rs"]
mod mistakes;
#[path = "port_forward_cluster/reaching.rs"]
mod reaching;
#[path = "port_forward_cluster/streams.rs"]
mod streams;

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

#[path = "traffic/bed.rs"]
mod bed;
#[path = "traffic/cluster_ip.rs"]
mod cluster_ip;

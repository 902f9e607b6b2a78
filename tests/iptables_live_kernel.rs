//! The iptables mode following changes, against the kernel: whatever the sequence of changes, the
//! kernel ends up with what a fresh start writes, nothing is listed on the way, and damage by
//! others is heard and repaired.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]

#[path = "nftables_support/cluster.rs"]
mod cluster;
mod iptables_live;
mod kernel_support;

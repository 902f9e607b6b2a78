//! Connections whose endpoint went, or that began before there was a rule for them: real clients
//! that keep their source port. In nftables mode; `conntrack` is the same in iptables mode.
//!
//! Regression tests carry the number of the Kubernetes issue in which users met the fault. Root is
//! needed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a failed test"
)]

mod support;

#[path = "run/agent.rs"]
#[allow(
    dead_code,
    reason = "the helper of other tests, of which a part is used here"
)]
mod agent;
#[path = "conntrack/client.rs"]
mod client;
#[path = "conntrack/datagrams.rs"]
mod datagrams;
#[path = "conntrack/many.rs"]
mod many;
#[path = "conntrack/restart.rs"]
mod restart;
#[path = "conntrack/streams.rs"]
mod streams;

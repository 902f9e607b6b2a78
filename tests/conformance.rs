//! The Kubernetes DNS specification, schema 1.1.0, and what CoreDNS answers where it is silent:
//! each case is a question over a real socket to a real server in a network namespace.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a failed test"
)]

mod support;

#[path = "conformance/dns/mod.rs"]
mod dns;

//! The IPVS mode under a kernel that has IPVS: real packets through the virtual servers that
//! portolan writes, in network namespaces of our own.
//!
//! Few tests with much in each: under emulation (`scripts/vm/suite`) making a testbed and starting
//! programs is what takes time. Root is needed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a failed test"
)]

mod support;

#[path = "ipvs/agent.rs"]
mod agent;
#[path = "ipvs/drain.rs"]
mod drain;
#[path = "ipvs/failure.rs"]
mod failure;
#[path = "ipvs/inside.rs"]
mod inside;
#[path = "ipvs/node.rs"]
mod node;
#[path = "ipvs/outside.rs"]
mod outside;
#[path = "ipvs/running.rs"]
mod running;
#[path = "ipvs/settings.rs"]
mod settings;
#[path = "ipvs/takeover.rs"]
mod takeover;
#[path = "ipvs/without.rs"]
mod without;

//! `portolan run`: what clients, administrators and monitoring see of a running agent.
//!
//! In nftables mode; `run` is the same in iptables mode. Root is needed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a failed test"
)]

mod support;

#[path = "run/agent.rs"]
mod agent;
#[path = "run/damage.rs"]
mod damage;
#[path = "run/files.rs"]
mod files;
#[path = "run/health_check_ports.rs"]
mod health_check_ports;
#[path = "run/hearing.rs"]
mod hearing;
#[path = "run/lifecycle.rs"]
mod lifecycle;
#[path = "run/observe.rs"]
mod observe;
#[path = "run/repair.rs"]
mod repair;

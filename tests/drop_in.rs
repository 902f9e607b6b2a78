//! `portolan run` where kube-proxy was: its configuration file and its flags.
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
#[path = "drop_in/file.rs"]
mod file;
#[path = "drop_in/observed.rs"]
mod observed;
#[path = "drop_in/running.rs"]
mod running;

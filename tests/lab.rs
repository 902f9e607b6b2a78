//! `portolan lab`: clusters of network namespaces, driven as people drive them. Every test has a lab
//! of its own; they run beside each other.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure is a failed test"
)]

mod support;

#[path = "lab/announce.rs"]
mod announce;
#[path = "lab/bench.rs"]
mod bench;
#[path = "lab/course.rs"]
mod course;
#[path = "lab/forward.rs"]
mod forward;
#[path = "lab/haproxy.rs"]
mod haproxy;
#[path = "lab/life.rs"]
mod life;
#[path = "lab/modes.rs"]
mod modes;
#[path = "lab/pods.rs"]
mod pods;

//! Netlink writers, readers and probes: the only place that talks to the kernel, and the only one
//! with `unsafe` code.
//!
//! Must not know Kubernetes: it speaks of tables, chains, rules, links and namespaces.
#![allow(
    unsafe_code,
    reason = "C libraries and raw sockets are called here and nowhere else"
)]

pub mod nft;

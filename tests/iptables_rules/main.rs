//! What portolan's iptables rules do and how they read, on clusters built by hand: no kernel
//! needed. Packets are sent through the rules by a simulator.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise, in its helpers too"
)]

mod cluster;
mod counts;
mod example;
mod flows_clusterip;
mod flows_endpoints;
mod flows_external;
mod flows_masquerade;
mod flows_nodeport;
mod large_cluster;
mod shape;
mod simulator;
mod text;

//! Ties the two ends together: manifests in, kernel changed.
//!
//! Owns the order of things (load, allocate, translate, read, plan, commit, retry) and the facts
//! of the node that rules depend on. Must not hide a failure, and must not know how a rule looks
//! or how a message is written.

pub mod announce;
pub mod backend;
pub mod cleanup;
pub mod cluster;
pub mod conntrack;
pub mod facts;
pub mod haproxy;
pub mod health;
pub mod health_check_ports;
mod hearing;
pub mod ipsets;
pub mod iptables;
pub mod ipvs;
pub mod leftovers;
pub mod live;
pub mod metrics;
pub mod nftables;
pub mod node;
pub mod node_dns;
pub mod node_settings;
pub mod port_forward;
pub mod repair;
pub mod run;
pub mod sync;
pub mod userspace;

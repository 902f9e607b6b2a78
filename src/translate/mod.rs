//! From the model to desired kernel state, one back end a module.
//!
//! Owns what the rules of each mode look like. Pure; must not talk to sockets.

pub mod haproxy;
pub mod iptables;
pub mod ipvs;
pub mod nftables;
pub mod userspace;

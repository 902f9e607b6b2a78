//! The userspace mode on a node: the agent takes every connection to a Service and makes another
//! one to an endpoint (`docs/userspace.md`).
//!
//! Owns the sockets that the rules lead to, their life with the Services and where they are bound.
//! The rules are the nftables mode's ([`crate::agent::nftables`]), made for a cluster in which the
//! agent stands in for the endpoints ([`crate::translate::userspace`]); bytes are forwarded by
//! [`crate::proxy`].

mod addresses;
pub mod live;
mod rendered;
mod sockets;

pub use addresses::Addresses;
pub use rendered::rendered;

use std::time::Duration;

/// How the agent forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserspaceOptions {
    /// How long a connection may be silent.
    pub tcp_idle: Duration,
    /// How long a client's flow of datagrams may be silent.
    pub udp_idle: Duration,
    /// How long connections may go on after the agent was told to stop.
    pub grace: Duration,
}

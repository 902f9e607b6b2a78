//! Cluster DNS: answers for the names of Services, from the snapshot that rules are made of.
//!
//! * [`zone`]: names to records, kept up with the snapshot. Pure: no I/O, no clock.
//! * [`names`]: the zone as it is now, shared with servers.
//! * [`server`]: UDP and TCP.
//! * [`service`]: all of it in one process.
//! * [`forward`]: what is not in the zone, from upstream servers.
//!
//! Must not watch anything by itself: whoever keeps the snapshot tells.

pub mod forward;
pub mod names;
pub mod server;
pub mod service;
pub mod zone;

//! Cluster DNS: answers for the names of Services, from the snapshot that rules are made of.
//!
//! * [`zone`]: names to records, kept up with the snapshot. Pure: no I/O, no clock.

pub mod zone;

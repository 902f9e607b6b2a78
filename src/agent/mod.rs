//! Ties the two ends together: manifests in, kernel changed.
//!
//! Owns the order of things (load, allocate, translate, read, plan, commit, retry) and the facts
//! of the node that rules depend on. Must not hide a failure, and must not know how a rule looks
//! or how a message is written.

pub mod cluster;
pub mod facts;
pub mod program;
pub mod repair;
pub mod rulesets;
pub mod sync;

//! Manifests that change while they are in use: whatever is done to the files, what the deltas
//! lead to is what a fresh load of the same files gives.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "live_manifests/bench.rs"]
mod bench;
#[path = "live_manifests/edits.rs"]
mod edits;
#[path = "live_manifests/files.rs"]
mod files;
#[path = "live_manifests/support.rs"]
mod support;
#[path = "live_manifests/watching.rs"]
mod watching;

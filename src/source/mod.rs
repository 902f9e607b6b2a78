//! Where the model comes from: manifests today, the Kubernetes API's watches later.
//!
//! Owns the wire form of API objects: parsing, the API server's defaulting and validation
//! ([`api`]), and reading files ([`manifest`]). Must not know rules.

pub mod api;
pub mod changes;
pub mod manifest;
pub mod state_dir;
pub mod watch;

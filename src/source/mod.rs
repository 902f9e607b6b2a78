//! Where the model comes from: manifests, or the watches of the Kubernetes API.
//!
//! Owns the wire form of API objects: parsing, the API server's defaulting and validation
//! ([`api`]), reading files ([`manifest`]) and watching the API ([`kubernetes`]). Must not know
//! rules.

pub mod api;
pub mod changes;
pub mod kubernetes;
pub mod manifest;
pub mod state_dir;
pub mod watch;

/// An error with its causes on one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some libraries repeat their cause in their own text.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

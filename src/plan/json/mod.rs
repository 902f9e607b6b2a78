//! Rulesets and their differences as JSON, for programs.

mod difference;
mod object;
mod ruleset;

pub use difference::{ChangesJson, DeviationJson, changes, deviation};
pub use ruleset::write;

/// A serializable value as a tree; these types hold nothing that JSON cannot say.
#[must_use]
pub fn value(from: &impl serde::Serialize) -> serde_json::Value {
    serde_json::to_value(from).unwrap_or_default()
}

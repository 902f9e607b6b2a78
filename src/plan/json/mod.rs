//! Rulesets and their differences as JSON, for programs.

mod difference;
mod object;
mod ruleset;

pub use difference::{ChangesJson, DeviationJson, changes, deviation};
pub use ruleset::write;

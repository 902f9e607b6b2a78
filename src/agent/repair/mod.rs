//! What to do about foreign changes: when to repair, and how to speak of it.
//!
//! Owns the damping of storms and the words for log lines and metrics. Pure: time and damage come
//! in as values. Must not touch the kernel, and must not sleep.

mod damper;
mod words;

pub use damper::{Damper, Pace};
pub use words::{Told, by, label, together, told};

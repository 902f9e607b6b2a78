//! What to do about foreign changes: when to repair.

mod damper;

pub use damper::{Damper, Pace};

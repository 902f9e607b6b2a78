//! A running HAProxy and its configuration file: checked by HAProxy itself before it is put in
//! place, in place at once, and taken up without a connection being lost.
//!
//! Must not know what is in the configuration.

mod file;
mod reload;

pub use file::{Checked, FileError};
pub use reload::{ReloadError, reload};

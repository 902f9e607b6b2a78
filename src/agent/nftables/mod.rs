//! The nftables mode on a node: one table of each family, Services as elements of its sets.
//!
//! Owns the settings of that mode, the reading of its tables and the comparison of whole tables.
//! Must not know how an element is made ([`crate::translate::nftables`]) or how a difference
//! becomes steps ([`crate::plan::nftables`]).

mod backend;
mod comparison;
pub mod live;
mod memory;
pub mod options;
pub mod read;
mod words;

pub use backend::Nftables;

/// A new table is written in transactions of about this size, as long as no packet sees it: each
/// costs some microseconds, while the room for a batch, and for what the kernel keeps of it until
/// it is committed, grows with its size.
pub const STAGE_BYTES: usize = 256 * 1024;

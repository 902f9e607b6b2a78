//! The IPVS mode: virtual servers, the dummy device and the table beside them, compared with the
//! kernel and brought there in an order that needs no transactions.
//!
//! ```text
//! table: what comes ─► addresses and servers that go ─► servers and real servers that come
//!        ─► addresses that come ─► table: what goes
//! ```
//!
//! Which virtual servers are ours is written in the table before they are made and struck out when
//! they are gone, so that a restart at any moment knows. Must not know how a rule or a message
//! looks.

mod backend;
pub mod cleanup;
mod comparison;
mod drain;
pub mod live;
pub mod options;
mod records;
mod settings;
#[cfg(test)]
mod tests;
mod words;

pub use backend::Ipvs;
pub use drain::Drains;

//! The iptables mode on a node: kube-proxy's iptables rules as nf_tables objects.
//!
//! Owns the settings of that mode and the reading of iptables tables. Must not know how a rule is
//! made ([`crate::translate::iptables`]) or compared ([`crate::plan::diff`]).

mod backend;
mod fetch;
pub mod live;
pub mod options;
pub mod sync;

pub use backend::{Iptables, IptablesComparison};
pub use fetch::fetch;

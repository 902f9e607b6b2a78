//! portolan's nftables mode: table `portolan` of one family for one node, as
//! `docs/nftables-layout.md` describes it.
//!
//! [`NftablesRuleset`] is the way in; [`NftablesOptions`] says how the node is set up. Chains and
//! rules are the same for every cluster (`fixed`, `pick`, `remember`); Services are elements of
//! sets and maps ([`elements`]).
//!
//! Must not read or write the kernel. No rule, chain or set may exist because a Service exists.

mod claims;
pub(in crate::translate) mod configured;
pub mod elements;
pub(in crate::translate) mod fixed;
pub(in crate::translate) mod key;
mod live;
mod node_dns;
mod options;
mod pick;
mod remember;
pub(in crate::translate) mod rule;
mod ruleset;
pub(in crate::translate) mod sets;

pub use claims::Conflict;
pub use key::{FrontEnd, address_of, affinity_endpoint, affinity_entry, front_end};
pub use live::{Adopted, Adoption, Ask, LiveTable, Replacement, Update};
pub use node_dns::{NODE_DNS_TABLE, node_dns_leaving, node_dns_table};
pub use options::NftablesOptions;
pub use ruleset::{NftablesRuleset, TABLE};
pub use sets::SetId;

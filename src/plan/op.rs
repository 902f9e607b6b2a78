//! The steps of a change: one [`Op`] is one netlink message of an nf_tables transaction.
//!
//! Verbs are nft's own: add, insert, delete, flush.

use std::sync::Arc;

use super::expr::RuleBody;
use crate::model::IpFamily;

/// A table of one family.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableRef {
    /// Family: `ip` or `ip6`.
    pub family: IpFamily,
    /// Name: `nat`, `filter`, …
    pub name: Arc<str>,
}

/// A chain of a table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChainRef {
    /// Its table.
    pub table: TableRef,
    /// Its name.
    pub name: Arc<str>,
}

/// What makes a chain a base chain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hook {
    /// `filter`, `nat` or `route`.
    pub chain_type: &'static str,
    /// `enum nf_inet_hooks`: 0 prerouting, 1 input, 2 forward, 3 output, 4 postrouting.
    pub hook: u32,
    /// Priority; lower runs earlier.
    pub priority: i32,
}

/// Where a rule goes in its chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// At the end.
    Append,
    /// At the head.
    Prepend,
    /// Right before the rule with this handle.
    Before(u64),
    /// Right after the rule with this handle.
    After(u64),
}

/// One step of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Add a table; nothing happens if it exists.
    AddTable(TableRef),
    /// Delete a table with everything in it.
    DeleteTable(TableRef),
    /// Add a chain; nothing happens if it exists. Policy of base chains is accept.
    AddChain {
        /// Which.
        chain: ChainRef,
        /// Set for a base chain.
        hook: Option<Hook>,
    },
    /// Delete all rules of a chain.
    FlushChain(ChainRef),
    /// Delete an empty, unreferenced chain.
    DeleteChain(ChainRef),
    /// Add a rule.
    AddRule {
        /// Chain it goes to.
        chain: ChainRef,
        /// Where in the chain.
        place: Place,
        /// What it does.
        rule: RuleBody,
    },
    /// Delete one rule.
    DeleteRule {
        /// Its chain.
        chain: ChainRef,
        /// Its handle.
        handle: u64,
    },
}

impl Op {
    /// The object the step is about, in nft's words, for error messages.
    #[must_use]
    pub fn object(&self) -> String {
        let table = |t: &TableRef| format!("{} {}", t.family.nft_name(), t.name);
        match self {
            Self::AddTable(t) | Self::DeleteTable(t) => format!("table {}", table(t)),
            Self::AddChain { chain, .. } | Self::FlushChain(chain) | Self::DeleteChain(chain) => {
                format!("chain {} {}", table(&chain.table), chain.name)
            }
            Self::AddRule { chain, .. } => {
                format!("rule in chain {} {}", table(&chain.table), chain.name)
            }
            Self::DeleteRule { chain, handle } => {
                format!(
                    "rule {handle} in chain {} {}",
                    table(&chain.table),
                    chain.name
                )
            }
        }
    }
}

//! The steps of a change: one [`Op`] is one netlink message of an nf_tables
//! transaction, or several where elements do not fit one.
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

/// A set or map of a table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SetRef {
    /// Its table.
    pub table: TableRef,
    /// Its name.
    pub name: Arc<str>,
}

/// What a set or map is, in the numbers of `NFT_MSG_NEWSET`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SetSpec {
    /// `enum nft_set_flags`: INTERVAL 4, MAP 8, TIMEOUT 0x10, EVAL 0x20.
    pub flags: u32,
    /// nft's type number of the key; fields of a concatenation are packed 6 bits each.
    pub key_type: u32,
    /// Bytes of a key; every field of a concatenation is padded to 4.
    pub key_len: u32,
    /// nft's type number and length in bytes of a map's data.
    pub data: Option<(u32, u32)>,
    /// The most elements it may hold; no limit if `None`.
    pub size: Option<u32>,
    /// `NFTA_SET_USERDATA`: what nft needs to list it, its comment among it.
    pub userdata: Box<[u8]>,
}

/// An element of a set or map.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Element {
    /// Its key.
    pub key: Box<[u8]>,
    /// Its data, in a map.
    pub data: Option<Box<[u8]>>,
    /// `NFT_SET_ELEM_INTERVAL_END`: the first key after an interval, in sets of intervals.
    pub interval_end: bool,
    /// Comment that nft shows.
    pub comment: Option<Arc<str>>,
}

/// One step of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Add a table; nothing happens if it exists.
    AddTable(TableRef),
    /// Add a table with a comment that nft shows (Linux 5.10); nothing happens if it exists, and
    /// its comment stays.
    AddCommentedTable {
        /// Which.
        table: TableRef,
        /// What nft shows.
        comment: Arc<str>,
    },
    /// Add a table that is the committing socket's alone (Linux 5.12): nobody else may change it,
    /// and the kernel deletes it when that socket closes, however its process ends.
    AddOwnedTable {
        /// Which.
        table: TableRef,
        /// What nft shows.
        comment: Arc<str>,
    },
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
    /// Add a set or map; nothing happens if it exists.
    AddSet {
        /// Which.
        set: SetRef,
        /// What it is.
        spec: SetSpec,
    },
    /// Delete a set or map that no rule refers to, with its elements.
    DeleteSet(SetRef),
    /// Add elements; one that is there with the same data is no error.
    AddElements {
        /// To which set.
        set: SetRef,
        /// Which; the writer splits what does not fit one message.
        elements: Vec<Element>,
    },
    /// Delete elements; one that is missing is an error.
    DeleteElements {
        /// From which set.
        set: SetRef,
        /// Which; data and comments do not matter.
        elements: Vec<Element>,
    },
}

impl Op {
    /// The object the step is about, in nft's words, for error messages.
    #[must_use]
    pub fn object(&self) -> String {
        let table = |t: &TableRef| format!("{} {}", t.family.nft_name(), t.name);
        match self {
            Self::AddTable(t)
            | Self::DeleteTable(t)
            | Self::AddCommentedTable { table: t, .. }
            | Self::AddOwnedTable { table: t, .. } => format!("table {}", table(t)),
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
            Self::AddSet { set, .. } | Self::DeleteSet(set) => {
                format!("set {} {}", table(&set.table), set.name)
            }
            Self::AddElements { set, .. } | Self::DeleteElements { set, .. } => {
                format!("elements of set {} {}", table(&set.table), set.name)
            }
        }
    }
}

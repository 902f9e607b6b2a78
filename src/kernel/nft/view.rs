//! What a dump shows: tables, chains, rules, sets and elements as borrowed views.

use crate::model::IpFamily;
use crate::plan::expr::RuleBody;
use crate::plan::op::{Element, SetSpec};

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableView<'a> {
    /// Its family.
    pub family: IpFamily,
    /// Its name.
    pub name: &'a str,
    /// Its handle.
    pub handle: u64,
    /// `NFT_TABLE_F_DORMANT`: no packet sees its chains.
    pub dormant: bool,
    /// Comment that nft shows.
    pub comment: Option<&'a str>,
    /// How many chains, sets and other objects it has: a cheap way to see that there are no chains
    /// beyond those one knows.
    pub uses: u32,
}

/// A chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainView<'a> {
    /// Family of its table.
    pub family: IpFamily,
    /// Its table.
    pub table: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its handle.
    pub handle: u64,
    /// How many rules it has plus how many rules and map elements point to it.
    pub uses: u32,
    /// Set for a base chain.
    pub base: Option<BaseView<'a>>,
}

/// What makes a chain a base chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BaseView<'a> {
    /// `filter`, `nat` or `route`.
    pub chain_type: &'a str,
    /// `enum nf_inet_hooks`: 0 prerouting, 1 input, 2 forward, 3 output, 4 postrouting.
    pub hook: u32,
    /// Priority; lower runs earlier.
    pub priority: i32,
    /// Whether the policy is accept (the only other one is drop).
    pub policy_accept: bool,
}

/// A rule. Rules of a chain come in their order.
#[derive(Debug, PartialEq, Eq)]
pub struct RuleView<'a> {
    /// Family of its table.
    pub family: IpFamily,
    /// Its table.
    pub table: &'a str,
    /// Its chain.
    pub chain: &'a str,
    /// Its handle.
    pub handle: u64,
    /// Handle of the rule before it in its chain; `None` for the first.
    pub position: Option<u64>,
    /// Its content. `compat` is always `None`: the kernel checks `NFTA_RULE_COMPAT` when a rule is
    /// added and does not keep it.
    pub body: RuleBody,
}

/// A set or map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetView<'a> {
    /// Family of its table.
    pub family: IpFamily,
    /// Its table.
    pub table: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its handle.
    pub handle: u64,
    /// `enum nft_set_flags`.
    pub flags: u32,
    /// nft's type number of the key.
    pub key_type: u32,
    /// Bytes of a key.
    pub key_len: u32,
    /// nft's type number and length in bytes of a map's data.
    pub data: Option<(u32, u32)>,
    /// The most elements it may hold.
    pub size: Option<u32>,
    /// `NFTA_SET_USERDATA`.
    pub userdata: &'a [u8],
    /// How many elements it has (`NFTA_SET_COUNT`), where the kernel reports it (6.18 does).
    /// In a set of intervals it is not the number of elements that a dump shows.
    pub count: Option<u32>,
}

impl SetView<'_> {
    /// What it takes to add the same set.
    #[must_use]
    pub fn spec(&self) -> SetSpec {
        SetSpec {
            flags: self.flags,
            key_type: self.key_type,
            key_len: self.key_len,
            data: self.data,
            size: self.size,
            userdata: self.userdata.into(),
        }
    }
}

/// An element of a set or map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ElementView<'a> {
    /// Its key.
    pub key: &'a [u8],
    /// Its data, in a map of values; `None` also in a map of verdicts.
    pub data: Option<&'a [u8]>,
    /// `NFT_SET_ELEM_INTERVAL_END`.
    pub interval_end: bool,
    /// Comment that nft shows.
    pub comment: Option<&'a str>,
    /// Its own timeout in milliseconds.
    pub timeout_ms: Option<u64>,
    /// Milliseconds until it goes.
    pub expires_ms: Option<u64>,
}

impl ElementView<'_> {
    /// What it takes to add the same element, without its timeout.
    #[must_use]
    pub fn to_element(&self) -> Element {
        Element {
            key: self.key.into(),
            data: self.data.map(Into::into),
            interval_end: self.interval_end,
            comment: self.comment.map(Into::into),
        }
    }
}

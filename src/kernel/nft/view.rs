//! What a dump shows: tables, chains and rules as borrowed views.

use crate::model::IpFamily;
use crate::plan::expr::RuleBody;

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableView<'a> {
    /// Its family.
    pub family: IpFamily,
    /// Its name.
    pub name: &'a str,
    /// Its handle.
    pub handle: u64,
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

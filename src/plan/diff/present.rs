//! What the kernel holds of one family, rule by rule as a digest and a handle.

use std::collections::HashMap;
use std::ops::Range;

use super::chain_name::ChainName;
use super::owned;
use crate::model::IpFamily;
use crate::plan::digest::RuleDigest;
use crate::plan::expr::{Expr, RuleBody, Verdict};
use crate::plan::xtables::rule::XtTable;

/// The tables `filter`, `nat` and `mangle` of one family as the kernel holds them.
///
/// Filled while the kernel lists them: tables, then their chains, then their rules in order.
/// Takes about 65 bytes a chain and 16 a rule.
#[derive(Clone, Debug)]
pub struct PresentState {
    family: IpFamily,
    tables: [PresentTable; 3],
}

/// One table.
#[derive(Clone, Debug, Default)]
pub(super) struct PresentTable {
    /// Whether the kernel has it.
    pub(super) exists: bool,
    chains: HashMap<ChainName, PresentChain>,
    /// The rules of all chains, each chain's in one piece.
    rules: Vec<PresentRule>,
    /// Jumps out of chains that are not a service's, which are all that can outlive their target.
    pub(super) jumps: Vec<PresentJump>,
}

/// A chain.
#[derive(Clone, Debug, Default)]
pub(super) struct PresentChain {
    /// Whether it is attached to a hook.
    pub(super) base: bool,
    /// The kernel's count of its rules and of all references to it.
    uses: u32,
    /// Rules seen that jump to it.
    jumps: u32,
    rules: Range<u32>,
}

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PresentRule {
    /// The kernel's name for it.
    pub(super) handle: u64,
    /// What it is.
    pub(super) digest: RuleDigest,
}

/// A rule that jumps to another chain.
#[derive(Clone, Debug)]
pub(super) struct PresentJump {
    /// The rule's chain.
    pub(super) from: ChainName,
    /// The chain it jumps to.
    pub(super) to: ChainName,
    /// The rule.
    pub(super) handle: u64,
}

impl PresentState {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(family: IpFamily) -> Self {
        Self {
            family,
            tables: Default::default(),
        }
    }

    /// The family.
    #[must_use]
    pub fn family(&self) -> IpFamily {
        self.family
    }

    /// Notes that a table exists.
    pub fn add_table(&mut self, table: XtTable) {
        self.table_mut(table).exists = true;
    }

    /// Notes a chain. `base` says whether it is attached to a hook, `uses` is the kernel's count
    /// of its rules and of the rules and map elements that point to it (`NFTA_CHAIN_USE`).
    pub fn add_chain(&mut self, table: XtTable, name: &str, base: bool, uses: u32) {
        let table = self.table_mut(table);
        table.exists = true;
        let chain = table.chains.entry(name.into()).or_default();
        chain.base = base;
        chain.uses = uses;
    }

    /// Notes a rule behind those already noted of its chain.
    pub fn add_rule(&mut self, table: XtTable, chain: &str, handle: u64, body: &RuleBody) {
        let digest = RuleDigest::of_body(body, self.family);
        let outlives = !owned::is_service_chain(table, chain);
        let table = self.table_mut(table);
        table.exists = true;
        table.push(chain, PresentRule { handle, digest });
        for target in jump_targets(body) {
            let Some(to) = table.chains.get_mut(target) else {
                continue;
            };
            to.jumps += 1;
            if outlives {
                let (from, to) = (chain.into(), target.into());
                table.jumps.push(PresentJump { from, to, handle });
            }
        }
    }

    /// How many rules there are.
    #[must_use]
    pub fn rules(&self) -> usize {
        self.tables
            .iter()
            .flat_map(|t| t.chains.values())
            .map(|c| c.rules.len())
            .sum()
    }

    /// How many chains there are.
    #[must_use]
    pub fn chains(&self) -> usize {
        self.tables.iter().map(|t| t.chains.len()).sum()
    }

    pub(super) fn table(&self, table: XtTable) -> &PresentTable {
        let [filter, nat, mangle] = &self.tables;
        match table {
            XtTable::Filter => filter,
            XtTable::Nat => nat,
            XtTable::Mangle => mangle,
        }
    }

    fn table_mut(&mut self, table: XtTable) -> &mut PresentTable {
        let [filter, nat, mangle] = &mut self.tables;
        match table {
            XtTable::Filter => filter,
            XtTable::Nat => nat,
            XtTable::Mangle => mangle,
        }
    }
}

impl PresentTable {
    /// All chains, in no order.
    pub(super) fn chains(&self) -> impl Iterator<Item = (&ChainName, &PresentChain)> {
        self.chains.iter()
    }

    /// A chain by name.
    pub(super) fn chain(&self, name: &str) -> Option<&PresentChain> {
        self.chains.get(name)
    }

    /// The rules of a chain in order.
    pub(super) fn rules(&self, chain: &PresentChain) -> &[PresentRule] {
        let range = chain.rules.start as usize..chain.rules.end as usize;
        self.rules.get(range).unwrap_or_default()
    }

    /// Whether something that is not a rule of this table points to the chain: a map's element.
    pub(super) fn is_in_a_map(&self, chain: &PresentChain) -> bool {
        let seen = u32::try_from(chain.rules.len())
            .unwrap_or(u32::MAX)
            .saturating_add(chain.jumps);
        chain.uses > seen
    }

    /// Appends a rule to a chain. The kernel lists chain by chain, so the chain's rules end where
    /// all rules end; if not, they are moved there.
    fn push(&mut self, chain: &str, rule: PresentRule) {
        let end = length(&self.rules);
        if !self.chains.contains_key(chain) {
            self.chains.insert(chain.into(), PresentChain::default());
        }
        let Some(chain) = self.chains.get_mut(chain) else {
            return;
        };
        if chain.rules.is_empty() {
            chain.rules = end..end;
        } else if chain.rules.end != end {
            let range = chain.rules.start as usize..chain.rules.end as usize;
            self.rules.extend_from_within(range);
            chain.rules = end..length(&self.rules);
        }
        self.rules.push(rule);
        chain.rules.end += 1;
    }
}

/// A length as an index: four thousand million objects do not fit into a kernel.
fn length<T>(of: &[T]) -> u32 {
    u32::try_from(of.len()).unwrap_or(u32::MAX)
}

fn jump_targets(body: &RuleBody) -> impl Iterator<Item = &str> {
    body.exprs.iter().filter_map(|expr| match expr {
        Expr::Verdict(Verdict::Jump(chain) | Verdict::Goto(chain)) => Some(chain.as_ref()),
        _ => None,
    })
}

//! What the kernel holds of one family, rule by rule as a digest and a handle.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::owned;
use crate::model::IpFamily;
use crate::plan::digest::RuleDigest;
use crate::plan::expr::{Expr, RuleBody, Verdict};
use crate::plan::xtables::rule::XtTable;

/// The tables `filter`, `nat` and `mangle` of one family as the kernel holds them.
///
/// Filled while the kernel lists them: tables, then their chains, then their rules in order.
/// Takes about 160 bytes a chain and 16 a rule.
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
    chains: Vec<PresentChain>,
    by_name: HashMap<Arc<str>, u32>,
    /// The rules of all chains, each chain's in one piece.
    rules: Vec<PresentRule>,
    /// Jumps out of chains that are not a service's, which are all that can outlive their target.
    pub(super) jumps: Vec<PresentJump>,
}

/// A chain.
#[derive(Clone, Debug)]
pub(super) struct PresentChain {
    /// Its name.
    pub(super) name: Arc<str>,
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
#[derive(Clone, Copy, Debug)]
pub(super) struct PresentJump {
    /// The rule's chain, as an index.
    pub(super) from: u32,
    /// The chain it jumps to, as an index.
    pub(super) to: u32,
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
        let index = table.chain_index(name);
        if let Some(chain) = table.chains.get_mut(index as usize) {
            chain.base = base;
            chain.uses = uses;
        }
    }

    /// Notes a rule behind those already noted of its chain.
    pub fn add_rule(&mut self, table: XtTable, chain: &str, handle: u64, body: &RuleBody) {
        let digest = RuleDigest::of_body(body, self.family);
        let table_name = table;
        let table = self.table_mut(table);
        table.exists = true;
        let from = table.chain_index(chain);
        table.push(from, PresentRule { handle, digest });
        for target in jump_targets(body) {
            let Some(to) = table.by_name.get(target).copied() else {
                continue;
            };
            if let Some(chain) = table.chains.get_mut(to as usize) {
                chain.jumps += 1;
            }
            if !owned::is_service_chain(table_name, chain) {
                table.jumps.push(PresentJump { from, to, handle });
            }
        }
    }

    /// How many rules there are.
    #[must_use]
    pub fn rules(&self) -> usize {
        self.tables
            .iter()
            .flat_map(|t| &t.chains)
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
    /// All chains.
    pub(super) fn chains(&self) -> impl Iterator<Item = &PresentChain> {
        self.chains.iter()
    }

    /// A chain by name.
    pub(super) fn chain(&self, name: &str) -> Option<&PresentChain> {
        self.by_name
            .get(name)
            .and_then(|index| self.chain_at(*index))
    }

    /// A chain by index.
    pub(super) fn chain_at(&self, index: u32) -> Option<&PresentChain> {
        self.chains.get(index as usize)
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

    /// The index of a chain, which is noted if it was not.
    fn chain_index(&mut self, name: &str) -> u32 {
        if let Some(index) = self.by_name.get(name) {
            return *index;
        }
        let index = length(&self.chains);
        let name: Arc<str> = name.into();
        self.by_name.insert(Arc::clone(&name), index);
        self.chains.push(PresentChain {
            name,
            base: false,
            uses: 0,
            jumps: 0,
            rules: 0..0,
        });
        index
    }

    /// Appends a rule to a chain. The kernel lists chain by chain, so the chain's rules end where
    /// all rules end; if not, they are moved there.
    fn push(&mut self, chain: u32, rule: PresentRule) {
        let end = length(&self.rules);
        let Some(chain) = self.chains.get_mut(chain as usize) else {
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

//! Comparing what is desired with what is present.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use super::desired::DesiredState;
use super::order::RuleKeys;
use super::owned::{self, TABLES};
use super::present::{PresentRule, PresentState, PresentTable};
use super::script::{Alignment, Edit};
use crate::model::IpFamily;
use crate::plan::digest::RuleDigest;
use crate::plan::xtables::rule::{XtJump, XtTable};

/// What has to happen to one desired chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ChainChange {
    /// It is missing.
    Create,
    /// Flush it and write all its rules: fewer messages than changing it rule by rule.
    Refill,
    /// Change single rules.
    Edit(Vec<Edit>),
}

/// A chain of ours that is no longer desired.
#[derive(Clone, Debug)]
pub(super) struct StaleChain {
    pub(super) table: XtTable,
    pub(super) name: Arc<str>,
    /// Whether it has rules to flush.
    pub(super) rules: usize,
    /// Whether it can go: nothing of somebody else's points to it.
    pub(super) delete: bool,
}

/// A rule in somebody else's chain that is to be deleted.
#[derive(Clone, Debug)]
pub(super) struct StaleRule {
    pub(super) table: XtTable,
    pub(super) chain: Arc<str>,
    pub(super) handle: u64,
}

/// The difference between two states of one family, as steps to take.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) family: IpFamily,
    pub(super) add_tables: Vec<XtTable>,
    pub(super) add_builtins: Vec<(XtTable, &'static str)>,
    pub(super) chains: [HashMap<Arc<str>, ChainChange>; 3],
    pub(super) add_jumps: Vec<XtJump>,
    pub(super) stale_rules: Vec<StaleRule>,
    pub(super) stale_chains: Vec<StaleChain>,
    pub(super) counts: Counts,
}

/// How much a plan changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tables to add.
    pub tables_added: usize,
    /// Chains to add, built-in ones too.
    pub chains_added: usize,
    /// Chains whose rules change.
    pub chains_changed: usize,
    /// Chains to delete.
    pub chains_deleted: usize,
    /// Rules that were not there, or not in that place.
    pub rules_added: usize,
    /// Rules that will not be there any more, or not in that place.
    pub rules_deleted: usize,
    /// Steps, one netlink message each.
    pub steps: usize,
}

/// `chains +1 ~2 -0, rules +4 -3`.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "chains +{} ~{} -{}, rules +{} -{}",
            self.chains_added,
            self.chains_changed,
            self.chains_deleted,
            self.rules_added,
            self.rules_deleted
        )
    }
}

impl Plan {
    pub(super) fn new(family: IpFamily) -> Self {
        Self {
            family,
            add_tables: Vec::new(),
            add_builtins: Vec::new(),
            chains: Default::default(),
            add_jumps: Vec::new(),
            stale_rules: Vec::new(),
            stale_chains: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// The family.
    #[must_use]
    pub fn family(&self) -> IpFamily {
        self.family
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.steps == 0
    }

    /// How much it changes.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Chains of ours that are emptied but stay, because a rule or map element of somebody else
    /// points to them.
    pub fn held_chains(&self) -> impl Iterator<Item = (XtTable, &str)> {
        let held = self.stale_chains.iter().filter(|c| !c.delete);
        held.map(|c| (c.table, c.name.as_ref()))
    }

    pub(super) fn change(&self, table: XtTable, name: &str) -> Option<&ChainChange> {
        self.chains.get(owned::index(table))?.get(name)
    }

    fn add_table(&mut self, table: XtTable, present: &PresentState) {
        if !present.table(table).exists && !self.add_tables.contains(&table) {
            self.add_tables.push(table);
            self.counts.tables_added += 1;
            self.counts.steps += 1;
        }
    }

    fn add_chain(&mut self, table: XtTable, name: &str, change: ChainChange) {
        if let Some(chains) = self.chains.get_mut(owned::index(table)) {
            chains.insert(name.into(), change);
        }
    }

    /// Compares one desired chain with its present namesake.
    fn compare(
        &mut self,
        (table, name): (XtTable, &str),
        (desired, keys): (&[RuleDigest], &[RuleKeys]),
        present: Option<&[PresentRule]>,
    ) {
        let Some(present) = present else {
            self.counts.chains_added += 1;
            self.counts.rules_added += desired.len();
            self.counts.steps += 1 + desired.len();
            self.add_chain(table, name, ChainChange::Create);
            return;
        };
        let equal = || present.iter().map(|r| r.digest).eq(desired.iter().copied());
        if !owned::owns_content(name, desired.len()) || equal() {
            return;
        }
        let digests: Vec<_> = present.iter().map(|r| r.digest).collect();
        let alignment = Alignment::new(&digests, desired, keys);
        let added = desired.len() - alignment.kept();
        let deleted = present.len() - alignment.kept();
        if added + deleted == 0 {
            return;
        }
        let refill = 1 + desired.len();
        self.counts.chains_changed += 1;
        self.counts.rules_added += added;
        self.counts.rules_deleted += deleted;
        self.counts.steps += refill.min(added + deleted);
        let change = if added + deleted <= refill {
            ChainChange::Edit(alignment.edits(present))
        } else {
            ChainChange::Refill
        };
        self.add_chain(table, name, change);
    }

    /// Makes sure that a built-in chain jumps to one of ours.
    fn ensure_jump(&mut self, jump: &XtJump, present: &PresentState) {
        self.add_table(jump.table, present);
        let table = present.table(jump.table);
        let chain = table.chain(jump.chain);
        let builtin = (jump.table, jump.chain);
        if chain.is_none() && !self.add_builtins.contains(&builtin) {
            self.add_builtins.push(builtin);
            self.counts.chains_added += 1;
            self.counts.steps += 1;
        }
        let digest = RuleDigest::of(&jump.rule);
        let there = chain.is_some_and(|c| table.rules(c).iter().any(|r| r.digest == digest));
        if !there {
            self.add_jumps.push(jump.clone());
            self.counts.rules_added += 1;
            self.counts.steps += 1;
        }
    }

    /// Removes the chains that go; jumps out of those that change are gone by then.
    pub(super) fn remove_chains(
        &mut self,
        table: XtTable,
        there: &PresentTable,
        goes: &dyn Fn(&str) -> bool,
        changes: &dyn Fn(&str) -> bool,
    ) {
        let mut chains: Vec<_> = there.chains().filter(|(name, _)| goes(name)).collect();
        chains.sort_unstable_by(|(a, _), (b, _)| str::cmp(a, b));
        let held = held_by_others(there, changes);
        for (name, chain) in chains {
            let held = held.contains(&**name) || there.is_in_a_map(chain);
            self.remove_chain(table, name, there.rules(chain).len(), held);
        }
    }

    /// Removes a chain of ours; `held` says that it cannot be deleted.
    fn remove_chain(&mut self, table: XtTable, name: &str, rules: usize, held: bool) {
        if rules == 0 && held {
            return;
        }
        let name = name.into();
        self.stale_chains.push(StaleChain {
            table,
            name,
            rules,
            delete: !held,
        });
        self.counts.chains_deleted += usize::from(!held);
        self.counts.chains_changed += usize::from(held);
        self.counts.rules_deleted += rules;
        self.counts.steps += usize::from(rules > 0) + usize::from(!held);
    }

    /// Counts the built-in chains whose rules change.
    pub(super) fn count_builtins(&mut self) {
        let added = self.add_jumps.iter().map(|j| (j.table, j.chain));
        let added = added.filter(|builtin| !self.add_builtins.contains(builtin));
        let deleted = self.stale_rules.iter().map(|r| (r.table, r.chain.as_ref()));
        let changed: BTreeSet<(XtTable, &str)> = added.chain(deleted).collect();
        self.counts.chains_changed += changed.len();
    }
}

/// Compares the desired state of a family with its present state.
#[must_use]
pub fn plan(desired: &DesiredState, present: &PresentState) -> Plan {
    let mut plan = Plan::new(desired.family());
    for table in TABLES {
        let there = present.table(table);
        for (name, digests) in desired.chains_of(table) {
            plan.add_table(table, present);
            let rules = there.chain(name).map(|chain| there.rules(chain));
            let keys = desired.keys(table, name);
            plan.compare((table, name), (digests, keys), rules);
        }
    }
    for jump in desired.jumps() {
        plan.ensure_jump(jump, present);
    }
    for table in TABLES {
        let there = present.table(table);
        let stale = |name: &str| {
            owned::is_service_chain(table, name) && desired.chain(table, name).is_none()
        };
        let rewritten = |name: &str| {
            let rules = desired.chain(table, name);
            rules.is_some_and(|rules| owned::owns_content(name, rules.len()))
        };
        plan.remove_chains(table, there, &stale, &|from| stale(from) || rewritten(from));
    }
    plan.count_builtins();
    plan
}

/// The chains that are jumped to from chains which will not change (`changes` says which will).
fn held_by_others<'a>(table: &'a PresentTable, changes: &dyn Fn(&str) -> bool) -> HashSet<&'a str> {
    let foreign = table.jumps.iter().filter(|jump| !changes(&jump.from));
    foreign.map(|jump| &*jump.to).collect()
}

//! The difference of two tables, and its steps in an order the kernel accepts.
//!
//! A table whose fixed part is another one is replaced whole, in one transaction. Otherwise only
//! elements change, and the two parts that follow values in use.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::delta::{SetChange, TableDelta};
use super::state::{ElementKey, ElementValue, SetState, TableState, joined};
use super::text::INTERVAL;
use super::whole::Whole;
use super::{AFFINITY, ENDPOINTS, is_variable_chain, is_variable_set, order_free};
use crate::plan::diff::Step;
use crate::plan::op::Element;

/// How much a plan changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Elements that come.
    pub elements_added: usize,
    /// Elements that go, other than with a table that is replaced.
    pub elements_deleted: usize,
    /// Sets that come.
    pub sets_added: usize,
    /// Sets that go, other than with a table that is replaced.
    pub sets_deleted: usize,
    /// Chains that come or whose rules are written anew.
    pub chains_written: usize,
    /// The table is there but is replaced.
    pub replaced: bool,
}

/// `elements +12 -3, sets +1 -0, chains 2`.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "elements +{} -{}",
            self.elements_added, self.elements_deleted
        )?;
        if self.sets_added + self.sets_deleted > 0 {
            write!(f, ", sets +{} -{}", self.sets_added, self.sets_deleted)?;
        }
        if self.chains_written > 0 {
            write!(f, ", chains {}", self.chains_written)?;
        }
        Ok(())
    }
}

/// What the table needs.
#[derive(Clone, Debug)]
enum Change {
    /// There is no table.
    Create,
    /// It is another layout or configuration.
    Replace,
    /// Elements, and what follows values in use.
    Update(TableDelta),
}

/// The steps from a present table to a desired one.
#[derive(Clone, Debug)]
pub struct TablePlan<'a> {
    desired: &'a TableState,
    change: Change,
}

/// Compares a desired table with the present one, `None` if there is none.
#[must_use]
pub fn plan<'a>(desired: &'a TableState, present: Option<&TableState>) -> TablePlan<'a> {
    let change = match present {
        Some(present) if desired.same_fixed_part(present) => {
            Change::Update(delta(desired, present))
        }
        Some(_) => Change::Replace,
        None => Change::Create,
    };
    TablePlan { desired, change }
}

impl TableState {
    /// Everything but elements and what follows values in use is equal.
    #[must_use]
    pub fn same_fixed_part(&self, present: &Self) -> bool {
        let sets_equal = |a: &Self, b: &Self| {
            a.sets.iter().all(|(name, set)| match b.sets.get(name) {
                Some(other) => other.spec == set.spec,
                None => is_variable_set(name),
            })
        };
        self.table == present.table
            && present.flaws.is_empty()
            && sets_equal(self, present)
            && sets_equal(present, self)
            && self.chains.len() == present.chains.len()
            && self.chains.iter().all(|(name, chain)| {
                present.chains.get(name).is_some_and(|other| {
                    let same_rules = is_variable_chain(name) || other.rules == chain.rules;
                    other.hook == chain.hook && same_rules
                })
            })
    }
}

/// What changes in a table whose fixed part is as desired.
fn delta(desired: &TableState, present: &TableState) -> TableDelta {
    let mut delta = TableDelta::new(desired.table.clone());
    delta.objects(desired, present);
    let empty = SetState::default();
    for (name, set) in &desired.sets {
        let old = &present.sets.get(name).unwrap_or(&empty).elements;
        let change = set_change(name, &set.elements, old);
        if !change.is_empty() {
            delta.elements.push(change);
        }
    }
    delta
}

impl TableDelta {
    /// Adds the changes of sets and chains that follow values in use.
    pub(crate) fn objects(&mut self, desired: &TableState, present: &TableState) {
        let new = desired.sets.iter();
        let new = new.filter(|(name, _)| !present.sets.contains_key(*name));
        let new = new.map(|(name, set)| (Arc::clone(name), set.spec.clone()));
        self.add_sets.extend(new);
        let gone = present.sets.keys();
        let gone = gone.filter(|name| !desired.sets.contains_key(*name));
        self.delete_sets.extend(gone.cloned());
        let chains = desired.chains.iter();
        let differ = chains.filter(|(name, chain)| {
            let old = present.chains.get(*name);
            old.is_none_or(|old| old.rules != chain.rules)
        });
        let differ = differ.map(|(name, chain)| (Arc::clone(name), chain.rules.clone()));
        self.refill.extend(differ);
    }
}

impl<'a> TablePlan<'a> {
    /// Nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.delta().is_some_and(TableDelta::is_empty)
    }

    /// The table that is there goes, and a new one takes its place.
    #[must_use]
    pub fn replaces(&self) -> bool {
        matches!(self.change, Change::Replace)
    }

    /// There is no table yet.
    #[must_use]
    pub fn creates(&self) -> bool {
        matches!(self.change, Change::Create)
    }

    /// What changes in a table that stays; `None` if it is new or replaced.
    #[must_use]
    pub fn delta(&self) -> Option<&TableDelta> {
        match &self.change {
            Change::Update(delta) => Some(delta),
            Change::Create | Change::Replace => None,
        }
    }

    /// Elements that change, by set; empty if the table is new or replaced.
    #[must_use]
    pub fn element_changes(&self) -> &[SetChange] {
        self.delta().map_or(&[], |delta| &delta.elements)
    }

    /// The desired table.
    pub(super) fn desired(&self) -> &'a TableState {
        self.desired
    }

    /// How much changes.
    #[must_use]
    pub fn counts(&self) -> Counts {
        if let Some(delta) = self.delta() {
            return delta.counts();
        }
        Counts {
            elements_added: self.desired.elements(),
            sets_added: self.desired.sets.len(),
            chains_written: self.desired.chains.len(),
            replaced: self.replaces(),
            ..Counts::default()
        }
    }

    /// Streams the steps. Everything after the last [`Step::StagePoint`] belongs in one
    /// transaction; only a table that is new has such points, before its chains.
    ///
    /// # Errors
    /// The first error of `emit`; nothing is emitted after it.
    pub fn ops<E>(&self, emit: &mut dyn FnMut(Step) -> Result<(), E>) -> Result<(), E> {
        if let Some(delta) = self.delta() {
            return delta.ops(emit);
        }
        let desired = self.desired;
        let sets = desired.sets.iter();
        let chains = desired.chain_order.iter();
        let chains = chains.filter_map(|name| Some((name, desired.chains.get(name)?)));
        let whole = Whole {
            table: desired.table.clone(),
            sets: sets
                .map(|(name, set)| (Arc::clone(name), set.spec.clone()))
                .collect(),
            chains: chains
                .map(|(name, chain)| (Arc::clone(name), chain.hook.clone(), chain.rules.clone()))
                .collect(),
            elements: &|visit| visit_elements(desired, visit),
        };
        whole.ops(self.replaces(), emit)
    }
}

fn visit_elements(state: &TableState, visit: &mut dyn FnMut(&str, Element)) {
    for (name, set) in &state.sets {
        let mut elements: Vec<_> = set.elements.iter().collect();
        if set.spec.flags & INTERVAL != 0 {
            // The kernel wants ends of intervals in order.
            elements.sort_by_key(|(key, _)| *key);
        }
        for (key, value) in elements {
            visit(name, joined(key, value));
        }
    }
}

type Elements = HashMap<ElementKey, ElementValue>;

fn set_change(name: &Arc<str>, desired: &Elements, present: &Elements) -> SetChange {
    let set = Arc::clone(name);
    if &**name == AFFINITY {
        let (deleted, added) = (Vec::new(), Vec::new());
        return SetChange {
            set,
            deleted,
            added,
        };
    }
    if &**name == ENDPOINTS {
        let order_free::Difference { deleted, added } = order_free::difference(desired, present);
        return SetChange {
            set,
            deleted,
            added,
        };
    }
    let missing = |from: &Elements, of: &Elements| {
        let differ = of
            .iter()
            .filter(|(key, value)| from.get(*key) != Some(value));
        let mut elements: Vec<_> = differ.map(|(key, value)| joined(key, value)).collect();
        elements.sort();
        elements
    };
    SetChange {
        set,
        deleted: missing(desired, present),
        added: missing(present, desired),
    }
}

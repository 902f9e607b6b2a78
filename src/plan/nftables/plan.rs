//! The difference of two tables, and its steps in an order the kernel accepts.
//!
//! A table whose fixed part is another one is replaced whole, in one transaction. Otherwise only
//! elements change, and the two parts that follow values in use.

use std::collections::HashMap;
use std::sync::Arc;

use super::state::{ElementKey, ElementValue, SetState, TableState, joined};
use super::text::INTERVAL;
use super::{AFFINITY, ENDPOINTS, is_variable_chain, is_variable_set, order_free};
use crate::plan::diff::Step;
use crate::plan::op::{ChainRef, Element, Op, Place, SetRef};

/// Elements that change in one set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetChange {
    /// Name of the set.
    pub set: Arc<str>,
    /// Elements that go. A changed element is among both lists.
    pub deleted: Vec<Element>,
    /// Elements that come.
    pub added: Vec<Element>,
}

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

/// What kind of change the table needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// There is no table.
    Create,
    /// It is another layout or configuration.
    Replace,
    /// Elements, and what follows values in use.
    Update,
}

/// The steps from a present table to a desired one.
#[derive(Clone, Debug)]
pub struct TablePlan<'a> {
    desired: &'a TableState,
    extent: Extent,
    elements: Vec<SetChange>,
    add_sets: Vec<Arc<str>>,
    delete_sets: Vec<Arc<str>>,
    refill: Vec<Arc<str>>,
}

/// Compares a desired table with the present one, `None` if there is none.
#[must_use]
pub fn plan<'a>(desired: &'a TableState, present: Option<&TableState>) -> TablePlan<'a> {
    let mut plan = TablePlan {
        desired,
        extent: Extent::Create,
        elements: Vec::new(),
        add_sets: Vec::new(),
        delete_sets: Vec::new(),
        refill: Vec::new(),
    };
    match present {
        Some(present) if same_fixed_part(desired, present) => plan.update(present),
        Some(_) => plan.extent = Extent::Replace,
        None => {}
    }
    plan
}

/// Everything but elements and what follows values in use is equal.
fn same_fixed_part(desired: &TableState, present: &TableState) -> bool {
    let sets_equal = |a: &TableState, b: &TableState| {
        a.sets.iter().all(|(name, set)| match b.sets.get(name) {
            Some(other) => other.spec == set.spec,
            None => is_variable_set(name),
        })
    };
    desired.table == present.table
        && sets_equal(desired, present)
        && sets_equal(present, desired)
        && desired.chains.len() == present.chains.len()
        && desired.chains.iter().all(|(name, chain)| {
            present.chains.get(name).is_some_and(|other| {
                other.hook == chain.hook && (is_variable_chain(name) || other.rules == chain.rules)
            })
        })
}

impl TablePlan<'_> {
    fn update(&mut self, present: &TableState) {
        self.extent = Extent::Update;
        let empty = SetState::default();
        for (name, set) in &self.desired.sets {
            let old = present.sets.get(name);
            if old.is_none() {
                self.add_sets.push(Arc::clone(name));
            }
            let old = &old.unwrap_or(&empty).elements;
            let change = set_change(name, &set.elements, old);
            if !change.added.is_empty() || !change.deleted.is_empty() {
                self.elements.push(change);
            }
        }
        let gone = present.sets.keys();
        let gone = gone.filter(|name| !self.desired.sets.contains_key(*name));
        self.delete_sets = gone.cloned().collect();
        let chains = self.desired.chains.iter();
        let differ = chains.filter(|(name, chain)| {
            let old = present.chains.get(*name);
            old.is_none_or(|old| old.rules != chain.rules)
        });
        self.refill = differ.map(|(name, _)| Arc::clone(name)).collect();
    }

    /// Nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.extent == Extent::Update
            && self.elements.is_empty()
            && self.add_sets.is_empty()
            && self.delete_sets.is_empty()
            && self.refill.is_empty()
    }

    /// The table that is there goes, and a new one takes its place.
    #[must_use]
    pub fn replaces(&self) -> bool {
        self.extent == Extent::Replace
    }

    /// There is no table yet.
    #[must_use]
    pub fn creates(&self) -> bool {
        self.extent == Extent::Create
    }

    /// Elements that change, by set; empty if the table is new or replaced.
    #[must_use]
    pub fn element_changes(&self) -> &[SetChange] {
        &self.elements
    }

    /// Sets that come, sets that go, and chains that are written anew, of a table that stays.
    pub(super) fn object_changes(&self) -> [&[Arc<str>]; 3] {
        [&self.add_sets, &self.delete_sets, &self.refill]
    }

    /// The desired table.
    pub(super) fn desired(&self) -> &TableState {
        self.desired
    }

    /// How much changes.
    #[must_use]
    pub fn counts(&self) -> Counts {
        if self.extent != Extent::Update {
            return Counts {
                elements_added: self.desired.elements(),
                sets_added: self.desired.sets.len(),
                chains_written: self.desired.chains.len(),
                replaced: self.extent == Extent::Replace,
                ..Counts::default()
            };
        }
        Counts {
            elements_added: self.elements.iter().map(|change| change.added.len()).sum(),
            elements_deleted: self.elements.iter().map(|c| c.deleted.len()).sum(),
            sets_added: self.add_sets.len(),
            sets_deleted: self.delete_sets.len(),
            chains_written: self.refill.len(),
            replaced: false,
        }
    }

    /// Streams the steps. Everything after the last [`Step::StagePoint`] belongs in one
    /// transaction; only a table that is new has such points, before its base chains.
    ///
    /// # Errors
    /// The first error of `emit`; nothing is emitted after it.
    pub fn ops<E>(&self, emit: &mut dyn FnMut(Step) -> Result<(), E>) -> Result<(), E> {
        match self.extent {
            Extent::Update => self.update_ops(emit),
            Extent::Create => self.whole_table(true, emit),
            Extent::Replace => {
                emit(Step::Op(Op::DeleteTable(self.desired.table.clone())))?;
                self.whole_table(false, emit)
            }
        }
    }

    fn update_ops<E>(&self, emit: &mut dyn FnMut(Step) -> Result<(), E>) -> Result<(), E> {
        for name in &self.add_sets {
            self.add_set(name, emit)?;
        }
        for change in self.elements.iter().filter(|c| !c.deleted.is_empty()) {
            let (set, elements) = (self.set(&change.set), change.deleted.clone());
            emit(Step::Op(Op::DeleteElements { set, elements }))?;
        }
        for change in self.elements.iter().filter(|c| !c.added.is_empty()) {
            let (set, elements) = (self.set(&change.set), change.added.clone());
            emit(Step::Op(Op::AddElements { set, elements }))?;
        }
        for name in &self.refill {
            emit(Step::Op(Op::FlushChain(self.chain(name))))?;
            self.add_rules(name, emit)?;
        }
        for name in &self.delete_sets {
            emit(Step::Op(Op::DeleteSet(self.set(name))))?;
        }
        Ok(())
    }

    fn whole_table<E>(
        &self,
        staged: bool,
        emit: &mut dyn FnMut(Step) -> Result<(), E>,
    ) -> Result<(), E> {
        emit(Step::Op(Op::AddTable(self.desired.table.clone())))?;
        for name in self.desired.sets.keys() {
            self.add_set(name, emit)?;
        }
        // Rules come before elements: the kernel walks a map for each chain that gets a rule with
        // it (`nf_tables_bind_set`), and an empty one takes no time.
        let base = |name: &&Arc<str>| {
            self.desired
                .chains
                .get(*name)
                .is_some_and(|c| c.hook.is_some())
        };
        let (hooked, plain): (Vec<_>, Vec<_>) = self.desired.chain_order.iter().partition(base);
        self.add_chains(&plain, emit)?;
        self.add_elements(staged, emit)?;
        self.add_chains(&hooked, emit)
    }

    fn add_chains<E>(
        &self,
        names: &[&Arc<str>],
        emit: &mut dyn FnMut(Step) -> Result<(), E>,
    ) -> Result<(), E> {
        for name in names {
            let hook = self.desired.chains.get(*name).and_then(|c| c.hook.clone());
            let chain = self.chain(name);
            emit(Step::Op(Op::AddChain { chain, hook }))?;
        }
        for name in names {
            self.add_rules(name, emit)?;
        }
        Ok(())
    }

    fn add_elements<E>(
        &self,
        staged: bool,
        emit: &mut dyn FnMut(Step) -> Result<(), E>,
    ) -> Result<(), E> {
        for (name, set) in &self.desired.sets {
            let mut elements: Vec<_> = set.elements.iter().collect();
            if set.spec.flags & INTERVAL != 0 {
                // The kernel wants ends of intervals in order.
                elements.sort_by_key(|(key, _)| *key);
            }
            let mut elements = elements.into_iter().peekable();
            while elements.peek().is_some() {
                let set = self.set(name);
                let some = elements.by_ref().take(STAGE_ELEMENTS);
                let elements = some.map(|(key, value)| joined(key, value)).collect();
                emit(Step::Op(Op::AddElements { set, elements }))?;
                if staged {
                    emit(Step::StagePoint)?;
                }
            }
        }
        Ok(())
    }

    fn add_set<E>(
        &self,
        name: &Arc<str>,
        emit: &mut dyn FnMut(Step) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(state) = self.desired.sets.get(name) else {
            return Ok(());
        };
        let (set, spec) = (self.set(name), state.spec.clone());
        emit(Step::Op(Op::AddSet { set, spec }))
    }

    fn add_rules<E>(
        &self,
        name: &Arc<str>,
        emit: &mut dyn FnMut(Step) -> Result<(), E>,
    ) -> Result<(), E> {
        let chain = self.desired.chains.get(name);
        for rule in chain.map_or(&[][..], |chain| &chain.rules) {
            emit(Step::Op(Op::AddRule {
                chain: self.chain(name),
                place: Place::Append,
                rule: rule.clone(),
            }))?;
        }
        Ok(())
    }

    fn set(&self, name: &Arc<str>) -> SetRef {
        let (table, name) = (self.desired.table.clone(), Arc::clone(name));
        SetRef { table, name }
    }

    fn chain(&self, name: &Arc<str>) -> ChainRef {
        let (table, name) = (self.desired.table.clone(), Arc::clone(name));
        ChainRef { table, name }
    }
}

/// Elements between two points at which a first load may be committed.
const STAGE_ELEMENTS: usize = 4096;

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

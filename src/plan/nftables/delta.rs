//! A change to a table that stays: elements, and what follows values in use.
//!
//! Owns the order in which the kernel accepts it. Must not know where the change comes from.

use std::sync::Arc;

use super::plan::Counts;
use crate::plan::diff::Step;
use crate::plan::expr::RuleBody;
use crate::plan::op::{ChainRef, Element, Op, Place, SetRef, SetSpec, TableRef};

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

impl SetChange {
    /// Nothing comes or goes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.deleted.is_empty() && self.added.is_empty()
    }
}

/// What changes in a table whose fixed part stays as it is.
///
/// Its steps are one transaction: all of it or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDelta {
    /// The table.
    pub table: TableRef,
    /// Sets that come.
    pub add_sets: Vec<(Arc<str>, SetSpec)>,
    /// Elements that come and go, by set; none of sets that go.
    pub elements: Vec<SetChange>,
    /// Chains whose rules are written anew, with all their rules.
    pub refill: Vec<(Arc<str>, Vec<RuleBody>)>,
    /// Sets that go, with what is in them.
    pub delete_sets: Vec<Arc<str>>,
}

impl TableDelta {
    /// No change.
    #[must_use]
    pub fn new(table: TableRef) -> Self {
        Self {
            table,
            add_sets: Vec::new(),
            elements: Vec::new(),
            refill: Vec::new(),
            delete_sets: Vec::new(),
        }
    }

    /// Nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.add_sets.is_empty()
            && self.elements.iter().all(SetChange::is_empty)
            && self.refill.is_empty()
            && self.delete_sets.is_empty()
    }

    /// How much changes.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            elements_added: self.elements.iter().map(|change| change.added.len()).sum(),
            elements_deleted: self.elements.iter().map(|c| c.deleted.len()).sum(),
            sets_added: self.add_sets.len(),
            sets_deleted: self.delete_sets.len(),
            chains_written: self.refill.len(),
            replaced: false,
        }
    }

    /// Streams the steps, in the order the kernel accepts: sets that rules and elements need come
    /// first, elements go before others take their keys, and sets go when no rule refers to them
    /// any more. They belong in one transaction.
    ///
    /// # Errors
    /// The first error of `emit`; nothing is emitted after it.
    pub fn ops<E>(&self, emit: &mut dyn FnMut(Step) -> Result<(), E>) -> Result<(), E> {
        for (name, spec) in &self.add_sets {
            let (set, spec) = (self.set(name), spec.clone());
            emit(Step::Op(Op::AddSet { set, spec }))?;
        }
        for change in self.elements.iter().filter(|c| !c.deleted.is_empty()) {
            let (set, elements) = (self.set(&change.set), change.deleted.clone());
            emit(Step::Op(Op::DeleteElements { set, elements }))?;
        }
        for change in self.elements.iter().filter(|c| !c.added.is_empty()) {
            let (set, elements) = (self.set(&change.set), change.added.clone());
            emit(Step::Op(Op::AddElements { set, elements }))?;
        }
        for (name, rules) in &self.refill {
            let (table, name) = (self.table.clone(), Arc::clone(name));
            let chain = ChainRef { table, name };
            emit(Step::Op(Op::FlushChain(chain.clone())))?;
            for rule in rules {
                emit(Step::Op(Op::AddRule {
                    chain: chain.clone(),
                    place: Place::Append,
                    rule: rule.clone(),
                }))?;
            }
        }
        for name in &self.delete_sets {
            emit(Step::Op(Op::DeleteSet(self.set(name))))?;
        }
        Ok(())
    }

    fn set(&self, name: &Arc<str>) -> SetRef {
        let (table, name) = (self.table.clone(), Arc::clone(name));
        SetRef { table, name }
    }
}

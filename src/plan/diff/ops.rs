//! A plan as a stream of steps, in an order the kernel accepts.

use super::owned::{self, builtin_hook, chain_ref, table_ref};
use super::plan::{ChainChange, Plan};
use super::script::Edit;
use crate::model::IpFamily;
use crate::plan::op::{ChainRef, Op, Place};
use crate::plan::xtables::encode::encode;
use crate::plan::xtables::rule::{XtChain, XtRule, XtRuleset};

/// A chain that is new may be cut after so many rules: the one that leads to all Services has one
/// for each.
const STAGE_RULES: usize = 1000;

/// A step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// One message.
    Op(Op),
    /// Nothing that was changed so far can be reached from a hook: the steps up to here may be
    /// committed on their own, and packets see no difference. After the first step that can be
    /// seen there is no such point any more.
    StagePoint,
}

impl Plan {
    /// Streams the steps of the plan. `ruleset` is what it was made from.
    ///
    /// First come missing tables and the missing chains with all their rules: nothing points to
    /// them yet. Then, to be committed in one transaction: changes to chains that exist, in the
    /// ruleset's order, missing jumps, and the removal of what is not desired any more.
    ///
    /// # Errors
    /// The first error of `emit`; nothing is emitted after it.
    pub fn ops<E>(
        &self,
        ruleset: &dyn XtRuleset,
        emit: &mut dyn FnMut(Step) -> Result<(), E>,
    ) -> Result<(), E> {
        for table in &self.add_tables {
            emit(Step::Op(Op::AddTable(table_ref(self.family, *table))))?;
        }
        let changes = || self.chains.iter().flat_map(|c| c.values());
        if changes().any(|c| *c == ChainChange::Create) {
            self.each_changed(ruleset, &mut |chain, change| match change {
                ChainChange::Create => self.create(&chain, emit),
                _ => Ok(()),
            })?;
        }
        for (table, name) in &self.add_builtins {
            let chain = chain_ref(self.family, *table, *name);
            emit(Step::Op(Op::AddChain {
                chain,
                hook: builtin_hook(*table, name),
            }))?;
        }
        if changes().any(|c| *c != ChainChange::Create) {
            self.each_changed(ruleset, &mut |chain, change| match change {
                ChainChange::Create => Ok(()),
                ChainChange::Refill => self.refill(&chain, emit),
                ChainChange::Edit(edits) => self.edit(&chain, edits, emit),
            })?;
        }
        self.add_jumps(emit)?;
        self.remove(emit)
    }

    /// Visits the chains that change, until the first error.
    fn each_changed<E>(
        &self,
        ruleset: &dyn XtRuleset,
        each: &mut dyn FnMut(XtChain, &ChainChange) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut outcome = Ok(());
        ruleset.for_each_chain(&mut |chain| {
            if outcome.is_ok()
                && let Some(change) = self.change(chain.table, &chain.name)
            {
                outcome = each(chain, change);
            }
        });
        outcome
    }

    fn create<E>(
        &self,
        chain: &XtChain,
        emit: &mut dyn FnMut(Step) -> Result<(), E>,
    ) -> Result<(), E> {
        let place = self.place_of(chain);
        emit(Step::Op(Op::AddChain {
            chain: place.clone(),
            hook: None,
        }))?;
        for (number, rule) in chain.rules.iter().enumerate() {
            // Unfinished or not, nothing points to it yet.
            if number > 0 && number.is_multiple_of(STAGE_RULES) {
                emit(Step::StagePoint)?;
            }
            emit(add(&place, Place::Append, rule, self.family))?;
        }
        emit(Step::StagePoint)
    }

    fn refill<E>(
        &self,
        chain: &XtChain,
        emit: &mut dyn FnMut(Step) -> Result<(), E>,
    ) -> Result<(), E> {
        let place = self.place_of(chain);
        emit(Step::Op(Op::FlushChain(place.clone())))?;
        for rule in &chain.rules {
            emit(add(&place, Place::Append, rule, self.family))?;
        }
        Ok(())
    }

    fn edit<E>(
        &self,
        chain: &XtChain,
        edits: &[Edit],
        emit: &mut dyn FnMut(Step) -> Result<(), E>,
    ) -> Result<(), E> {
        let in_chain = self.place_of(chain);
        for edit in edits {
            match edit {
                Edit::Delete(handle) => {
                    let chain = in_chain.clone();
                    emit(Step::Op(Op::DeleteRule {
                        chain,
                        handle: *handle,
                    }))?;
                }
                Edit::Add { rule, place } => {
                    if let Some(rule) = chain.rules.get(*rule as usize) {
                        emit(add(&in_chain, *place, rule, self.family))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Each jump goes to the head, so that the last comes first, as kube-proxy leaves them.
    fn add_jumps<E>(&self, emit: &mut dyn FnMut(Step) -> Result<(), E>) -> Result<(), E> {
        for jump in &self.add_jumps {
            let chain = chain_ref(self.family, jump.table, jump.chain);
            emit(add(&chain, Place::Prepend, &jump.rule, self.family))?;
        }
        Ok(())
    }

    /// Chains that go may jump to each other: all are emptied before the first is deleted.
    fn remove<E>(&self, emit: &mut dyn FnMut(Step) -> Result<(), E>) -> Result<(), E> {
        for rule in &self.stale_rules {
            let chain = chain_ref(self.family, rule.table, rule.chain.clone());
            emit(Step::Op(Op::DeleteRule {
                chain,
                handle: rule.handle,
            }))?;
        }
        let place = |c: &super::plan::StaleChain| chain_ref(self.family, c.table, c.name.clone());
        for chain in self.stale_chains.iter().filter(|c| c.rules > 0) {
            emit(Step::Op(Op::FlushChain(place(chain))))?;
        }
        for chain in self.stale_chains.iter().filter(|c| c.delete) {
            emit(Step::Op(Op::DeleteChain(place(chain))))?;
        }
        Ok(())
    }

    fn place_of(&self, chain: &XtChain) -> ChainRef {
        owned::chain_ref(self.family, chain.table, chain.name.clone())
    }
}

fn add(chain: &ChainRef, place: Place, rule: &XtRule, family: IpFamily) -> Step {
    Step::Op(Op::AddRule {
        chain: chain.clone(),
        place,
        rule: encode(rule, family),
    })
}

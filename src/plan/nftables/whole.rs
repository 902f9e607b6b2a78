//! A whole table as steps: what is written first, and where it may be committed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{NftRuleset, RuleDef, comment_of};
use crate::plan::diff::Step;
use crate::plan::expr::RuleBody;
use crate::plan::op::{ChainRef, Element, Hook, Op, Place, SetRef, SetSpec, TableRef};

/// Elements of a set that are written in one step; after each, a first load may be committed.
const STAGE_ELEMENTS: usize = 4096;

/// Visits the elements, sets in any order; those of intervals in the order of their keys, as the
/// kernel wants them.
type VisitElements<'a> = &'a dyn Fn(&mut dyn FnMut(&str, Element));

/// A table that is written whole.
pub(super) struct Whole<'a> {
    /// Which.
    pub(super) table: TableRef,
    /// Its sets and maps.
    pub(super) sets: Vec<(Arc<str>, SetSpec)>,
    /// Its chains with their rules, base chains last.
    pub(super) chains: Vec<(Arc<str>, Option<Hook>, Vec<RuleBody>)>,
    /// Its elements.
    pub(super) elements: VisitElements<'a>,
}

/// Streams the steps that write a ruleset's table, in place of one that is there if it `replaces`
/// that. Everything after the last [`Step::StagePoint`] belongs in one transaction; only a table
/// that is new has such points, before its base chains. Holds no more elements than a step has, for
/// every set.
///
/// # Errors
/// The first error of `emit`; nothing is emitted after it.
pub fn whole_table<E>(
    ruleset: &dyn NftRuleset,
    replaces: bool,
    emit: &mut dyn FnMut(Step) -> Result<(), E>,
) -> Result<(), E> {
    let sets = ruleset.sets().into_iter();
    let chains = ruleset.chains().into_iter();
    let bodies = |rules: Vec<RuleDef>| rules.into_iter().map(|rule| rule.body).collect();
    let whole = Whole {
        table: ruleset.table(),
        sets: sets.map(|set| (set.name, set.spec)).collect(),
        chains: chains
            .map(|chain| (chain.name, chain.hook, bodies(chain.rules)))
            .collect(),
        elements: &|visit| ruleset.for_each_element(visit),
    };
    whole.ops(replaces, emit)
}

impl Whole<'_> {
    /// Streams the steps. A table that `replaces` another belongs in one transaction with the
    /// deletion of that one, so there is no [`Step::StagePoint`] then; otherwise no packet sees
    /// anything of it before its base chains.
    ///
    /// # Errors
    /// The first error of `emit`; nothing is emitted after it.
    pub(super) fn ops<E>(
        &self,
        replaces: bool,
        emit: &mut dyn FnMut(Step) -> Result<(), E>,
    ) -> Result<(), E> {
        if replaces {
            emit(Step::Op(Op::DeleteTable(self.table.clone())))?;
        }
        emit(Step::Op(Op::AddCommentedTable {
            table: self.table.clone(),
            comment: comment_of(&self.table.name).into(),
        }))?;
        for (name, spec) in &self.sets {
            let (set, spec) = (self.set(name), spec.clone());
            emit(Step::Op(Op::AddSet { set, spec }))?;
        }
        // Rules come before elements: the kernel walks a map for each chain that gets a rule with
        // it (`nf_tables_bind_set`), and an empty one takes no time.
        self.chains(false, emit)?;
        self.elements(!replaces, emit)?;
        self.chains(true, emit)
    }

    /// The base chains, or all others.
    fn chains<E>(&self, base: bool, emit: &mut dyn FnMut(Step) -> Result<(), E>) -> Result<(), E> {
        let chains = || {
            self.chains
                .iter()
                .filter(|(_, hook, _)| hook.is_some() == base)
        };
        for (name, hook, _) in chains() {
            let (chain, hook) = (self.chain(name), hook.clone());
            emit(Step::Op(Op::AddChain { chain, hook }))?;
        }
        for (name, _, rules) in chains() {
            for rule in rules {
                emit(Step::Op(Op::AddRule {
                    chain: self.chain(name),
                    place: Place::Append,
                    rule: rule.clone(),
                }))?;
            }
        }
        Ok(())
    }

    fn elements<E>(
        &self,
        staged: bool,
        emit: &mut dyn FnMut(Step) -> Result<(), E>,
    ) -> Result<(), E> {
        let sets = self.sets.iter();
        let mut waiting: BTreeMap<&str, (&Arc<str>, Vec<Element>)> = sets
            .map(|(name, _)| (&**name, (name, Vec::new())))
            .collect();
        let mut write = |name: &Arc<str>, elements: Vec<Element>| {
            let set = self.set(name);
            emit(Step::Op(Op::AddElements { set, elements }))?;
            if staged {
                emit(Step::StagePoint)?;
            }
            Ok(())
        };
        let mut outcome = Ok(());
        (self.elements)(&mut |set, element| {
            if outcome.is_ok()
                && let Some((name, elements)) = waiting.get_mut(set)
            {
                elements.push(element);
                if elements.len() == STAGE_ELEMENTS {
                    outcome = write(name, std::mem::take(elements));
                }
            }
        });
        outcome?;
        let rest = waiting.into_values();
        for (name, elements) in rest.filter(|(_, elements)| !elements.is_empty()) {
            write(name, elements)?;
        }
        Ok(())
    }

    fn set(&self, name: &Arc<str>) -> SetRef {
        let (table, name) = (self.table.clone(), Arc::clone(name));
        SetRef { table, name }
    }

    fn chain(&self, name: &Arc<str>) -> ChainRef {
        let (table, name) = (self.table.clone(), Arc::clone(name));
        ChainRef { table, name }
    }
}

//! nf_tables in memory: refuses what the kernel refuses, so that plans can be tried without one.
//!
//! Owns the semantics of a transaction: steps see what earlier steps of the same batch did, every
//! refused step is reported, and one refusal undoes all. What the kernel does was compared with
//! `nf_tables_api.c` of Linux 6.18 and is compared again by a property test against the running
//! kernel. Not modelled: whether an xtables match or target accepts its data.

mod ruleset;
mod sets;

use std::collections::VecDeque;

use nix::errno::Errno;

use super::batch::{Batch, Committed};
use super::boundary::{NftBatch, NftKernel};
use super::error::{CommitError, EncodeError, ReadError, Refusal};
use super::view::{BaseView, ChainView, ElementView, RuleView, SetView, TableView};
use crate::model::IpFamily;
use crate::plan::op::{Element, Op, SetRef, TableRef};
use ruleset::{Chain, Check, Effect, Ruleset};
use sets::Set;

/// An nf_tables without a kernel.
#[derive(Clone, Debug, Default)]
pub struct FakeKernel {
    ruleset: Ruleset,
    generation: u32,
    interruptions: u32,
    lose_next_answer: bool,
    foreign: VecDeque<Vec<Op>>,
    commits: usize,
}

/// A transaction of [`FakeKernel`]. Steps are encoded as for the real one, so that what cannot be
/// encoded is refused here too.
#[derive(Debug)]
pub struct FakeBatch {
    encoded: Batch,
    steps: Vec<Step>,
    generation: Option<u32>,
}

/// What running the steps of a batch gave.
#[derive(Debug, Default)]
struct Attempt {
    handles: Vec<(usize, u64)>,
    refusals: Vec<Refusal>,
    changed: bool,
}

#[derive(Debug)]
struct Step {
    op: Op,
    echo: bool,
}

impl FakeKernel {
    /// An empty ruleset, at generation 1 as a new namespace is.
    #[must_use]
    pub fn new() -> Self {
        Self {
            generation: 1,
            ..Self::default()
        }
    }

    /// Makes the next `dumps` dumps end in [`ReadError::Interrupted`].
    pub fn interrupt_dumps(&mut self, dumps: u32) {
        self.interruptions = dumps;
    }

    /// Lets another program commit right before our next commit.
    pub fn foreign_before_commit(&mut self, ops: Vec<Op>) {
        self.foreign.push_back(ops);
    }

    /// Makes the next commit succeed with its answer lost.
    pub fn lose_next_answer(&mut self) {
        self.lose_next_answer = true;
    }

    /// Commits as another program does, at once.
    ///
    /// # Errors
    /// What the kernel would refuse.
    pub fn commit_as_foreign(&mut self, ops: &[Op]) -> Result<(), CommitError> {
        let steps = ops.iter().map(|op| (op, false));
        self.apply(steps).map(drop)
    }

    /// How many transactions changed something, foreign ones not counted.
    #[must_use]
    pub fn commits(&self) -> usize {
        self.commits
    }

    fn apply<'a>(
        &mut self,
        steps: impl Iterator<Item = (&'a Op, bool)>,
    ) -> Result<Vec<(usize, u64)>, CommitError> {
        let steps: Vec<_> = steps.collect();
        let (mut next, mut attempt) = self.attempt(&steps, Check::AtTheEnd);
        if attempt.refusals.is_empty() && next.validate().is_err() {
            // The kernel runs the batch again to find the rule at which it goes wrong.
            (next, attempt) = self.attempt(&steps, Check::EachRule);
        }
        let Attempt {
            mut refusals,
            handles,
            changed,
        } = attempt;
        if !refusals.is_empty() {
            self.ruleset.keep_handles_of(&next);
            let more = refusals.len().saturating_sub(Refusal::MAX_LISTED);
            refusals.truncate(Refusal::MAX_LISTED);
            return Err(CommitError::Refused { refusals, more });
        }
        if changed {
            self.ruleset = next;
            self.generation = self.generation.checked_add(1).unwrap_or(1);
        }
        Ok(handles)
    }

    fn attempt(&self, steps: &[(&Op, bool)], check: Check) -> (Ruleset, Attempt) {
        let mut next = self.ruleset.clone();
        let mut attempt = Attempt::default();
        for (index, (op, echo)) in steps.iter().enumerate() {
            match next.apply(op, check) {
                Ok(effect) => {
                    attempt.changed |= effect != Effect::Nothing;
                    if let (true, Effect::Made(handle)) = (*echo, effect) {
                        attempt.handles.push((index, handle));
                    }
                }
                Err(errno) => attempt.refusals.push(refusal(index, op, errno)),
            }
        }
        (next, attempt)
    }

    fn set(&self, set: &SetRef) -> Option<&Set> {
        self.ruleset.table(&set.table)?.set(&set.name)
    }

    fn check_interruption(&mut self) -> Result<(), ReadError> {
        match self.interruptions.checked_sub(1) {
            None => Ok(()),
            Some(left) => {
                self.interruptions = left;
                Err(ReadError::Interrupted)
            }
        }
    }
}

fn refusal(index: usize, op: &Op, errno: Errno) -> Refusal {
    let (operation, object) = match op {
        Op::AddTable(_) | Op::AddChain { .. } => ("add", op.object()),
        Op::AddRule { place, .. } => (place_verb(*place), op.object()),
        Op::DeleteTable(_) | Op::DeleteChain(_) | Op::DeleteRule { .. } => ("delete", op.object()),
        Op::FlushChain(_) => ("flush", op.object()),
        Op::AddSet { .. } | Op::AddElements { .. } => ("add", op.object()),
        Op::DeleteSet(_) | Op::DeleteElements { .. } => ("delete", op.object()),
    };
    Refusal {
        op: Some(index),
        operation,
        object,
        errno: errno as i32,
        kernel_text: None,
        part: None,
    }
}

fn place_verb(place: crate::plan::op::Place) -> &'static str {
    use crate::plan::op::Place;
    match place {
        Place::Append | Place::After(_) => "add",
        Place::Prepend | Place::Before(_) => "insert",
    }
}

impl NftBatch for FakeBatch {
    fn push(&mut self, op: &Op) -> Result<(), EncodeError> {
        self.encoded.push(op)?;
        let op = op.clone();
        self.steps.push(Step { op, echo: false });
        Ok(())
    }

    fn push_echo(&mut self, op: &Op) -> Result<(), EncodeError> {
        self.encoded.push_echo(op)?;
        let op = op.clone();
        self.steps.push(Step { op, echo: true });
        Ok(())
    }

    fn len_bytes(&self) -> usize {
        self.encoded.len_bytes()
    }

    fn len(&self) -> usize {
        self.steps.len()
    }
}

impl NftKernel for FakeKernel {
    type Batch = FakeBatch;

    fn batch(&self, generation: Option<u32>) -> FakeBatch {
        FakeBatch {
            encoded: Batch::new(generation),
            steps: Vec::new(),
            generation,
        }
    }

    fn commit(&mut self, batch: FakeBatch) -> Result<Committed, CommitError> {
        if let Some(ops) = self.foreign.pop_front() {
            self.commit_as_foreign(&ops)?;
        }
        if let Some(expected) = batch.generation
            && expected != self.generation
        {
            return Err(CommitError::Conflict { expected });
        }
        let before = self.generation;
        let handles = self.apply(batch.steps.iter().map(|step| (&step.op, step.echo)))?;
        let messages = batch.steps.len();
        self.commits += usize::from(self.generation != before);
        if std::mem::take(&mut self.lose_next_answer) {
            return Err(CommitError::Unconfirmed {
                messages,
                committed: None,
            });
        }
        Ok(Committed {
            generation: self.generation,
            handles,
            messages,
            bytes: batch.encoded.finish().len_bytes(),
        })
    }

    fn generation(&mut self) -> Result<u32, ReadError> {
        Ok(self.generation)
    }

    fn dump_tables(
        &mut self,
        family: IpFamily,
        visit: &mut dyn FnMut(TableView<'_>),
    ) -> Result<(), ReadError> {
        for (key, table) in self.ruleset.tables() {
            if key.family == family {
                visit(TableView {
                    family,
                    name: &key.name,
                    handle: table.handle,
                    uses: u32::try_from(table.chains().len() + table.sets().len())
                        .unwrap_or(u32::MAX),
                });
            }
        }
        self.check_interruption()
    }

    fn dump_chains(
        &mut self,
        table: &TableRef,
        visit: &mut dyn FnMut(ChainView<'_>),
    ) -> Result<(), ReadError> {
        if let Some(found) = self.ruleset.table(table) {
            for chain in found.chains() {
                visit(chain_view(table, chain, found.uses(&chain.name)));
            }
        }
        self.check_interruption()
    }

    fn dump_rules(
        &mut self,
        table: &TableRef,
        chain: Option<&str>,
        visit: &mut dyn FnMut(RuleView<'_>),
    ) -> Result<(), ReadError> {
        let Some(found) = self.ruleset.table(table) else {
            return self.check_interruption();
        };
        for in_chain in found.chains() {
            if chain.is_some_and(|wanted| wanted != &*in_chain.name) {
                continue;
            }
            let mut position = None;
            for rule in &in_chain.rules {
                let mut body = rule.body.clone();
                body.compat = None;
                visit(RuleView {
                    family: table.family,
                    table: &table.name,
                    chain: &in_chain.name,
                    handle: rule.handle,
                    position: position.replace(rule.handle),
                    body,
                });
            }
        }
        self.check_interruption()
    }

    fn dump_sets(
        &mut self,
        table: &TableRef,
        visit: &mut dyn FnMut(SetView<'_>),
    ) -> Result<(), ReadError> {
        if let Some(found) = self.ruleset.table(table) {
            for (name, set) in found.sets() {
                visit(set_view(table, name, set));
            }
        }
        self.check_interruption()
    }

    fn dump_elements(
        &mut self,
        set: &SetRef,
        visit: &mut dyn FnMut(ElementView<'_>),
    ) -> Result<(), ReadError> {
        if let Some(found) = self.set(set) {
            found.elements().map(element_view).for_each(visit);
        }
        self.check_interruption()
    }

    fn get_elements(
        &mut self,
        set: &SetRef,
        keys: &[&[u8]],
        visit: &mut dyn FnMut(usize, Option<ElementView<'_>>),
    ) -> Result<(), ReadError> {
        let found = self.set(set);
        for (index, key) in keys.iter().enumerate() {
            let element = found.and_then(|set| set.get(key));
            visit(index, element.map(element_view));
        }
        self.check_interruption()
    }
}

fn element_view(element: &Element) -> ElementView<'_> {
    ElementView {
        key: &element.key,
        data: element.data.as_deref(),
        interval_end: element.interval_end,
        comment: element.comment.as_deref(),
        ..ElementView::default()
    }
}

fn set_view<'a>(table: &'a TableRef, name: &'a str, set: &'a Set) -> SetView<'a> {
    SetView {
        family: table.family,
        table: &table.name,
        name,
        handle: set.handle,
        flags: set.spec.flags,
        key_type: set.spec.key_type,
        key_len: set.spec.key_len,
        data: set.spec.data,
        size: set.spec.size,
        userdata: &set.spec.userdata,
        count: u32::try_from(set.elements().len()).ok(),
    }
}

fn chain_view<'a>(table: &'a TableRef, chain: &'a Chain, uses: u32) -> ChainView<'a> {
    ChainView {
        family: table.family,
        table: &table.name,
        name: &chain.name,
        handle: chain.handle,
        uses,
        base: chain.hook.as_ref().map(|hook| BaseView {
            chain_type: hook.chain_type,
            hook: hook.hook,
            priority: hook.priority,
            policy_accept: true,
        }),
    }
}

#[cfg(test)]
mod tests;

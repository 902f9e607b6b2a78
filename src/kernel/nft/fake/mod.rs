//! nf_tables in memory: refuses what the kernel refuses, so that plans can be tried without one.
//!
//! Owns the semantics of a transaction: steps see what earlier steps of the same batch did, every
//! refused step is reported, and one refusal undoes all. What the kernel does was compared with
//! `nf_tables_api.c` of Linux 6.18 and is compared again by a property test against the running
//! kernel. Not modelled: whether an xtables match or target accepts its data.

mod kernel;
mod ruleset;
mod sets;
mod table;

use std::collections::VecDeque;

use nix::errno::Errno;

use super::batch::Batch;
use super::boundary::NftBatch;
use super::error::{CommitError, EncodeError, ReadError, Refusal};
use crate::plan::op::{Op, SetRef};
use ruleset::{Check, Effect, Ruleset};
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
        Op::AddTable(_)
        | Op::AddCommentedTable { .. }
        | Op::AddOwnedTable { .. }
        | Op::AddChain { .. } => ("add", op.object()),
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

#[cfg(test)]
mod tests;

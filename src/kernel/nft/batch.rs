//! A transaction: steps collected in one buffer, sent at once, applied whole or not at all.
//!
//! Owns the messages around the steps (`NFNL_MSG_BATCH_BEGIN` … `END`). A
//! [`Batch`] takes steps until [`Batch::finish`] turns it into a [`FinishedBatch`], which can only
//! be committed.

use std::sync::atomic::{AtomicU32, Ordering};

use super::commit;
use super::encode::{self, Sequence};
use super::error::{CommitError, EncodeError};
use super::frame::Frame;
use super::object::Scratch;
use super::wire;
use crate::kernel::netlink::{RequestWriter, Socket, flags};
use crate::plan::op::{ChainRef, Op, SetRef};

/// Batches number their messages from different starts, so that a late reply to one is never taken
/// for a reply to the next.
static NEXT_START: AtomicU32 = AtomicU32::new(1);
/// Distance of the starts; a batch may be longer, replies are still told apart by their window.
const START_STEP: u32 = 1 << 20;

/// What a commit achieved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The generation that this commit made; the next batch can be bound to it.
    pub generation: u32,
    /// Handles of new objects: index of the step, as counted by the `push` methods, and handle.
    /// Only for steps pushed with [`Batch::push_echo`].
    pub handles: Vec<(usize, u64)>,
    /// Steps in the batch.
    pub messages: usize,
    /// Size of the batch.
    pub bytes: usize,
}

/// An open transaction.
pub struct Batch {
    bytes: Vec<u8>,
    scratch: Scratch,
    frame: Frame,
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch")
            .field("frame", &self.frame)
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

impl Batch {
    /// Opens a transaction. With a generation, the commit fails with
    /// [`CommitError::Conflict`] if anybody has committed since (`NFNL_BATCH_GENID`,
    /// Linux 4.12).
    #[must_use]
    pub fn new(generation: Option<u32>) -> Self {
        let first_seq = NEXT_START.fetch_add(START_STEP, Ordering::Relaxed);
        let begin = RequestWriter::new(wire::BATCH_BEGIN, 0, first_seq, 0, wire::SUBSYS_ID);
        let begin = match generation {
            Some(id) => begin.u32_be(wire::BATCH_GENID, id),
            None => begin,
        };
        Self {
            bytes: begin.finish(),
            scratch: Scratch::new(),
            frame: Frame {
                first_seq,
                generation,
                ..Frame::default()
            },
        }
    }

    /// Adds a step.
    ///
    /// # Errors
    /// The step cannot be put into a message; the batch is as it was before.
    pub fn push(&mut self, op: &Op) -> Result<(), EncodeError> {
        self.add(op, false)
    }

    /// Adds a step and asks for the handle of the object it makes.
    ///
    /// # Errors
    /// As [`Batch::push`].
    pub fn push_echo(&mut self, op: &Op) -> Result<(), EncodeError> {
        self.add(op, true)
    }

    /// Size so far, in bytes.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Steps so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frame.steps
    }

    /// Whether no step was pushed yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frame.steps == 0
    }

    /// Closes the transaction.
    #[must_use]
    pub fn finish(mut self) -> FinishedBatch {
        let seq = self.frame.next_seq();
        // The kernel acknowledges the end of a batch since Linux 6.10; older ones ignore the flag.
        let end = RequestWriter::new(wire::BATCH_END, flags::ACK, seq, 0, wire::SUBSYS_ID);
        self.bytes.extend(end.finish());
        FinishedBatch {
            bytes: self.bytes,
            frame: self.frame,
        }
    }

    /// Closes the transaction and commits it.
    ///
    /// # Errors
    /// As [`FinishedBatch::commit`].
    pub fn commit(self, socket: &mut Socket) -> Result<Committed, CommitError> {
        self.finish().commit(socket)
    }

    fn add(&mut self, op: &Op, wants_handle: bool) -> Result<(), EncodeError> {
        let bytes = self.bytes.len();
        // A step is counted last, so only the anchor has to be taken back.
        let (anchors, reports) = (self.frame.anchors, self.frame.reports);
        self.try_add(op, wants_handle).inspect_err(|_| {
            self.bytes.truncate(bytes);
            self.frame.anchors = anchors;
            self.frame.reports = reports;
        })
    }

    fn try_add(&mut self, op: &Op, wants_handle: bool) -> Result<(), EncodeError> {
        // Elements have no handle.
        let wants_handle = wants_handle && !is_about_elements(op);
        let is_anchor = self.frame.messages == 0 && self.anchor(op)?;
        let echo = wants_handle || is_anchor;
        let before = self.bytes.len();
        let messages = self.append(op, if echo { flags::ECHO } else { 0 })?;
        self.frame.reports |= is_anchor;
        if is_anchor && !wants_handle {
            self.frame.silent_anchor = Some(self.frame.steps);
        }
        if wants_handle {
            self.frame.echoes += 1;
            self.frame.echoed_bytes += self.bytes.len() - before;
        }
        self.frame.count(messages);
        Ok(())
    }

    /// Sees to it that the kernel reports the new generation, and says whether the first step
    /// itself has to ask for it.
    ///
    /// The kernel does so, on every version, if the first message behind the opening one asks for
    /// an echo. Flushing a chain, deleting a table, adding or deleting elements would then echo every
    /// object. So before such a step its table is added, which changes nothing if it exists; if it does not, the
    /// flush undoes it by failing. Before the deletion of a table no message is that harmless;
    /// such a commit is confirmed by the acknowledgement of the closing message, and on kernels that
    /// do not give one by the generation that is there afterwards.
    fn anchor(&mut self, first: &Op) -> Result<bool, EncodeError> {
        match first {
            Op::DeleteTable(_) => Ok(false),
            // No message, so the next step is the first.
            Op::AddElements { elements, .. } | Op::DeleteElements { elements, .. }
                if elements.is_empty() =>
            {
                Ok(false)
            }
            Op::FlushChain(ChainRef { table, .. })
            | Op::AddElements {
                set: SetRef { table, .. },
                ..
            }
            | Op::DeleteElements {
                set: SetRef { table, .. },
                ..
            } => {
                self.append(&Op::AddTable(table.clone()), flags::ECHO)?;
                self.frame.anchors = 1;
                self.frame.reports = true;
                Ok(false)
            }
            Op::AddTable(_)
            | Op::AddCommentedTable { .. }
            | Op::AddOwnedTable { .. }
            | Op::AddChain { .. }
            | Op::DeleteChain(_)
            | Op::AddRule { .. }
            | Op::DeleteRule { .. }
            | Op::AddSet { .. }
            | Op::DeleteSet(_) => Ok(true),
        }
    }

    fn append(&mut self, op: &Op, flags: u16) -> Result<usize, EncodeError> {
        let seq = Sequence {
            first: self.frame.first_seq,
            next: self.frame.next_seq(),
        };
        encode::encode(op, seq, flags, &mut self.scratch, &mut self.bytes).map_err(|reason| {
            EncodeError {
                object: op.object(),
                reason,
            }
        })
    }
}

fn is_about_elements(op: &Op) -> bool {
    matches!(op, Op::AddElements { .. } | Op::DeleteElements { .. })
}

/// A closed transaction.
#[derive(Debug)]
pub struct FinishedBatch {
    pub(super) bytes: Vec<u8>,
    pub(super) frame: Frame,
}

impl FinishedBatch {
    /// Commits: one send, after which the kernel has applied all of it or nothing.
    ///
    /// # Errors
    /// See [`CommitError`]; only [`CommitError::Unconfirmed`] leaves open whether the kernel
    /// changed.
    pub fn commit(&self, socket: &mut Socket) -> Result<Committed, CommitError> {
        commit::commit(self, socket)
    }

    /// Size in bytes.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.bytes.len()
    }
}

//! A transaction: steps collected in one buffer, sent at once, applied whole or not at all.
//!
//! Owns the frame around the steps (`NFNL_MSG_BATCH_BEGIN` … `END`) and sequence numbers. A
//! [`Batch`] takes steps until [`Batch::finish`] turns it into a [`FinishedBatch`], which can only
//! be committed.

use std::sync::atomic::{AtomicU32, Ordering};

use super::commit;
use super::encode;
use super::error::{CommitError, EncodeError};
use super::object::Scratch;
use super::wire;
use crate::kernel::netlink::{RequestWriter, Socket, flags};
use crate::plan::op::Op;

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

/// What is known of a batch beside its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    /// Sequence number of the opening message; steps follow, the closing message is last.
    pub(super) first_seq: u32,
    /// Steps so far.
    pub(super) messages: usize,
    /// Steps that ask for their handle.
    pub(super) echoes: usize,
    /// Bytes of the steps that ask for their handle, which come back.
    pub(super) echoed_bytes: usize,
    /// Messages between the opening one and the first step: the anchor.
    pub(super) anchors: usize,
    /// Whether the first step carries the request for the new generation without asking for its
    /// own handle.
    pub(super) first_is_anchor: bool,
    /// Whether the kernel was asked to report the new generation.
    pub(super) reports: bool,
    /// The generation the batch is bound to.
    pub(super) generation: Option<u32>,
}

impl Frame {
    /// Which message of the batch has a sequence number.
    pub(super) fn position_of(&self, seq: u32) -> Position {
        let distance = seq.wrapping_sub(self.first_seq);
        let Ok(slot) = usize::try_from(distance) else {
            return Position::Foreign;
        };
        let first_op = self.anchors + 1;
        let end = first_op + self.messages;
        match slot {
            0 => Position::Begin,
            _ if slot < first_op => Position::Anchor,
            _ if slot < end => Position::Op(slot - first_op),
            _ if slot == end => Position::End,
            _ => Position::Foreign,
        }
    }

    /// Number of a message in the batch, the opening one being 0.
    pub(super) fn slot_of(&self, position: Position) -> usize {
        match position {
            Position::Begin | Position::Foreign => 0,
            Position::Anchor => 1,
            Position::Op(index) => self.anchors + 1 + index,
            Position::End => self.anchors + 1 + self.messages,
        }
    }
}

/// Which message of a batch a reply is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// The opening message.
    Begin,
    /// The message that carries the request for the new generation.
    Anchor,
    /// A step.
    Op(usize),
    /// The closing message.
    End,
    /// None of this batch.
    Foreign,
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
                messages: 0,
                echoes: 0,
                echoed_bytes: 0,
                anchors: 0,
                first_is_anchor: false,
                reports: false,
                generation,
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
        self.frame.messages
    }

    /// Whether no step was pushed yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frame.messages == 0
    }

    /// Closes the transaction.
    #[must_use]
    pub fn finish(mut self) -> FinishedBatch {
        let seq = self.next_seq();
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

    fn next_seq(&self) -> u32 {
        let slot = self.frame.slot_of(Position::End);
        let distance = u32::try_from(slot).unwrap_or(u32::MAX);
        self.frame.first_seq.wrapping_add(distance)
    }

    fn add(&mut self, op: &Op, wants_handle: bool) -> Result<(), EncodeError> {
        let before = (self.bytes.len(), self.frame);
        self.try_add(op, wants_handle).inspect_err(|_| {
            self.bytes.truncate(before.0);
            self.frame = before.1;
        })
    }

    fn try_add(&mut self, op: &Op, wants_handle: bool) -> Result<(), EncodeError> {
        let is_anchor = self.is_empty() && self.anchor(op)?;
        let echo = wants_handle || is_anchor;
        let len = self.append(op, if echo { flags::ECHO } else { 0 })?;
        self.frame.messages += 1;
        self.frame.reports |= is_anchor;
        self.frame.first_is_anchor |= is_anchor && !wants_handle;
        if wants_handle {
            self.frame.echoes += 1;
            self.frame.echoed_bytes += len;
        }
        Ok(())
    }

    /// Sees to it that the kernel reports the new generation, and says whether the first step
    /// itself has to ask for it.
    ///
    /// The kernel does so, on every version, if the first message behind the opening one asks for
    /// an echo. Flushing a chain or deleting a table would then echo every object that goes. So
    /// before a flush its table is added, which changes nothing if it exists; if it does not, the
    /// flush undoes it by failing. Before the deletion of a table no message is that harmless;
    /// such a commit is confirmed by the acknowledgement of the closing message.
    fn anchor(&mut self, first: &Op) -> Result<bool, EncodeError> {
        match first {
            Op::DeleteTable(_) => Ok(false),
            Op::FlushChain(chain) => {
                self.append(&Op::AddTable(chain.table.clone()), flags::ECHO)?;
                self.frame.anchors = 1;
                self.frame.reports = true;
                Ok(false)
            }
            Op::AddTable(_)
            | Op::AddChain { .. }
            | Op::DeleteChain(_)
            | Op::AddRule { .. }
            | Op::DeleteRule { .. }
            | Op::AddSet { .. }
            | Op::DeleteSet(_)
            | Op::AddElements { .. }
            | Op::DeleteElements { .. } => Ok(true),
        }
    }

    fn append(&mut self, op: &Op, flags: u16) -> Result<usize, EncodeError> {
        let message = encode::encode(op, self.next_seq(), flags, &mut self.scratch);
        let message = message.map_err(|reason| EncodeError {
            object: op.object(),
            reason,
        })?;
        self.bytes.extend_from_slice(message);
        Ok(message.len())
    }
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

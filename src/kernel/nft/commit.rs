//! Sending a transaction and making sense of the answer.
//!
//! Everything is processed inside `send`: when it returns, all replies are queued. Refused
//! messages come as one `NLMSG_ERROR` each; a commit comes as the echoes that were asked for, the
//! new generation, and (Linux 6.10) an acknowledgement of the closing message.

use std::io;

use nix::errno::Errno;

use super::batch::{Committed, FinishedBatch};
use super::blame;
use super::error::{CommitError, ReadError, Refusal};
use super::frame::{Frame, Position};
use super::read;
use super::wire::{self, msg};
use crate::kernel::netlink::{ErrorReply, Message, Messages, Received, Socket, Wait, kind};

/// The kernel charges an echo at a page of payload and its own overhead.
const ECHO_ROOM: usize = 8 * 1024;
/// Room for error replies; each is charged at less than 1 KiB.
const ERROR_ROOM: usize = 1024 * 1024;

/// See [`FinishedBatch::commit`].
pub(super) fn commit(batch: &FinishedBatch, socket: &mut Socket) -> Result<Committed, CommitError> {
    let io = |operation| move |source| CommitError::io(operation, source);
    socket
        .discard_stale()
        .map_err(io("emptying the receive queue"))?;
    let mut answer = Answer {
        before: known_before(batch, socket),
        ..Answer::default()
    };
    let echoes = batch.frame.echoes.saturating_mul(ECHO_ROOM) + batch.frame.echoed_bytes * 2;
    socket.reserve(batch.bytes.len(), echoes.saturating_add(ERROR_ROOM));
    if let Err(error) = socket.send(&batch.bytes) {
        return Err(send_error(batch, socket, error));
    }
    let portid = socket.portid();
    loop {
        match socket.receive(Wait::No) {
            Ok(Received::Nothing) => break,
            Ok(Received::Datagram(bytes)) => answer.absorb(&batch.frame, bytes, portid),
            Ok(Received::Overrun) => answer.lost = true,
            // The batch has been processed; not being able to hear about it does not undo it.
            Err(error) => {
                tracing::warn!(%error, "cannot receive the replies to an nf_tables batch");
                answer.lost = true;
                break;
            }
        }
    }
    answer.settle(batch, socket)
}

/// The generation before a batch that is neither bound to one nor makes the kernel report one.
/// Before Linux 6.10 nothing but another generation afterwards confirms such a commit.
fn known_before(batch: &FinishedBatch, socket: &mut Socket) -> Option<u32> {
    let frame = &batch.frame;
    if frame.generation.is_some() || frame.reports || frame.messages == 0 {
        return None;
    }
    read::generation(socket).ok()
}

/// What a failing `send` means. Nothing of the batch was looked at.
fn send_error(batch: &FinishedBatch, socket: &mut Socket, error: io::Error) -> CommitError {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EPERM | Errno::EACCES) => CommitError::Permission,
        Some(Errno::EMSGSIZE) => {
            // Without privilege the send buffer stays small; then that is the thing to say.
            if matches!(read::generation(socket), Err(ReadError::Permission)) {
                return CommitError::Permission;
            }
            CommitError::TooLarge {
                bytes: batch.bytes.len(),
            }
        }
        _ => CommitError::io("sending a batch", error),
    }
}

/// The replies to one batch.
#[derive(Debug, Default)]
struct Answer {
    /// See [`known_before`].
    before: Option<u32>,
    generation: Option<u32>,
    acknowledged: bool,
    handles: Vec<(usize, u64)>,
    /// With the number of the refused message.
    errors: Vec<(usize, Position, ErrorReply)>,
    more_errors: usize,
    /// Replies were dropped.
    lost: bool,
}

impl Answer {
    fn absorb(&mut self, frame: &Frame, datagram: &[u8], portid: u32) {
        for message in Messages::new(datagram) {
            let position = frame.position_of(message.seq);
            if message.portid != portid || position == Position::Foreign {
                continue;
            }
            match message.kind {
                kind::ERROR => self.absorb_error(frame.slot_of(message.seq), position, &message),
                msg::NEWGEN => {
                    self.generation = message.attrs().find(wire::GEN_ID).and_then(|a| a.u32_be());
                }
                msg::NEWRULE => self.absorb_echo(position, &message, wire::rule::HANDLE),
                msg::NEWCHAIN => self.absorb_echo(position, &message, wire::chain::HANDLE),
                msg::NEWSET => self.absorb_echo(position, &message, wire::set::HANDLE),
                msg::NEWTABLE => self.absorb_echo(position, &message, wire::table::HANDLE),
                _ => {}
            }
        }
    }

    fn absorb_error(&mut self, slot: usize, position: Position, message: &Message<'_>) {
        let Some(error) = ErrorReply::read(message) else {
            return;
        };
        if error.errno == 0 {
            self.acknowledged |= position == Position::End;
        } else if self.errors.len() < Refusal::MAX_LISTED {
            self.errors.push((slot, position, error));
        } else {
            self.more_errors += 1;
        }
    }

    fn absorb_echo(&mut self, position: Position, message: &Message<'_>, handle: u16) {
        if let Position::Op(index) = position
            && let Some(handle) = message.attrs().find(handle).and_then(|a| a.u64_be())
        {
            self.handles.push((index, handle));
        }
    }

    fn settle(
        mut self,
        batch: &FinishedBatch,
        socket: &mut Socket,
    ) -> Result<Committed, CommitError> {
        if let Some(error) = self.frame_error(batch) {
            return Err(error);
        }
        if !self.errors.is_empty() {
            return Err(CommitError::Refused {
                refusals: blame::refusals(batch, &self.errors),
                more: self.more_errors,
            });
        }
        let messages = batch.frame.steps;
        if self.lost {
            return Err(CommitError::Unconfirmed {
                messages,
                committed: self.generation,
            });
        }
        let generation = match self.generation {
            Some(generation) => generation,
            None => self.unreported_generation(batch, socket)?,
        };
        if let Some(step) = batch.frame.silent_anchor {
            self.handles.retain(|(index, _)| *index != step);
        }
        Ok(Committed {
            generation,
            handles: self.handles,
            messages,
            bytes: batch.bytes.len(),
        })
    }

    /// The generation after a batch without errors of which the kernel did not report one.
    fn unreported_generation(
        &self,
        batch: &FinishedBatch,
        socket: &mut Socket,
    ) -> Result<u32, CommitError> {
        let frame = &batch.frame;
        let unconfirmed = || CommitError::Unconfirmed {
            messages: frame.steps,
            committed: None,
        };
        let present = read::generation(socket).map_err(|_| unconfirmed())?;
        self.concluded(frame, present).ok_or_else(unconfirmed)
    }

    /// What follows from the generation that is there now, all replies being known.
    fn concluded(&self, frame: &Frame, present: u32) -> Option<u32> {
        let unchanged = frame.reports || frame.messages == 0;
        match frame.generation {
            // Reported or not, somebody else may have committed since; our own is known.
            Some(expected) if unchanged => {
                (self.acknowledged || present == expected).then_some(expected)
            }
            // Without acknowledgement: a single commit since, and ours was not refused.
            Some(expected) => {
                let ours = next_generation(expected);
                (self.acknowledged || present == ours).then_some(ours)
            }
            // If it reports, it would have reported a change.
            None if self.acknowledged || unchanged => Some(present),
            None => (self.before? != present).then_some(present),
        }
    }

    /// The error of the batch as a whole, from the reply to its opening message.
    fn frame_error(&self, batch: &FinishedBatch) -> Option<CommitError> {
        let (_, _, error) = self
            .errors
            .iter()
            .find(|(_, position, _)| *position == Position::Begin)?;
        Some(match Errno::from_raw(error.errno) {
            Errno::ERESTART => CommitError::Conflict {
                expected: batch.frame.generation.unwrap_or_default(),
            },
            Errno::EPERM => CommitError::Permission,
            errno => CommitError::io("opening a transaction", errno.into()),
        })
    }
}

/// What the kernel makes of a generation at a commit: the next number, never 0.
fn next_generation(generation: u32) -> u32 {
    generation.checked_add(1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::netlink::RequestWriter;
    use crate::kernel::nft::Batch;
    use crate::model::IpFamily;
    use crate::plan::op::{Op, TableRef};

    /// What `RequestWriter` writes as the sender's port.
    const PORT: u32 = 0;

    fn batch() -> FinishedBatch {
        let mut batch = Batch::new(Some(7));
        let table = TableRef {
            family: IpFamily::V4,
            name: "nat".into(),
        };
        batch.push(&Op::AddTable(table)).unwrap();
        batch.finish()
    }

    fn new_generation(seq: u32) -> Vec<u8> {
        RequestWriter::new(msg::NEWGEN, 0, seq, 0, 0)
            .u32_be(wire::GEN_ID, 8)
            .finish()
    }

    /// An error reply; `RequestWriter`'s netfilter header stands for the errno.
    fn refusal(seq: u32, errno: i32) -> Vec<u8> {
        let mut bytes = RequestWriter::new(kind::ERROR, 0, seq, 0, 0).finish();
        for (to, from) in bytes.iter_mut().skip(16).zip((-errno).to_ne_bytes()) {
            *to = from;
        }
        bytes
    }

    fn settle(lost: bool, replies: impl Fn(u32) -> Vec<u8>) -> Result<Committed, CommitError> {
        let batch = batch();
        let mut answer = Answer {
            lost,
            ..Answer::default()
        };
        let first_op = batch.frame.first_seq.wrapping_add(1);
        answer.absorb(&batch.frame, &replies(first_op), PORT);
        answer.settle(&batch, &mut Socket::open().unwrap())
    }

    #[test]
    fn a_reported_generation_is_a_commit() {
        assert_eq!(settle(false, new_generation).unwrap().generation, 8);
    }

    #[test]
    fn lost_replies_leave_handles_open_but_not_a_reported_commit() {
        let error = settle(true, new_generation).unwrap_err();
        assert!(matches!(
            error,
            CommitError::Unconfirmed {
                messages: 1,
                committed: Some(8)
            }
        ));
        assert!(error.wants_reread());
    }

    #[test]
    fn lost_replies_and_nothing_else_leave_all_open() {
        let error = settle(true, |_| Vec::new()).unwrap_err();
        assert!(matches!(
            error,
            CommitError::Unconfirmed {
                committed: None,
                ..
            }
        ));
    }

    #[test]
    fn a_refusal_is_certain_even_if_other_replies_were_lost() {
        let error = settle(true, |seq| refusal(seq, libc::EBUSY)).unwrap_err();
        assert!(error.to_string().contains("add table ip nat"), "{error}");
    }

    #[test]
    fn a_stale_generation_is_reported_for_the_opening_message() {
        let error = settle(false, |seq| refusal(seq - 1, libc::ERESTART)).unwrap_err();
        assert!(matches!(error, CommitError::Conflict { expected: 7 }));
    }

    #[test]
    fn replies_to_other_batches_and_other_ports_are_not_ours() {
        let batch = batch();
        let first_op = batch.frame.first_seq.wrapping_add(1);
        let mut answer = Answer::default();
        answer.absorb(&batch.frame, &new_generation(first_op + 5), PORT);
        answer.absorb(&batch.frame, &new_generation(first_op - 2), PORT);
        answer.absorb(&batch.frame, &new_generation(first_op), PORT + 1);
        assert_eq!(answer.generation, None);
    }

    /// Linux before 6.10 acknowledges no batch and reports no generation for these.
    #[test]
    fn a_deleted_table_is_confirmed_by_the_generation_that_follows() {
        let deletion = |generation| Frame {
            generation,
            messages: 1,
            ..Frame::default()
        };
        let silent = Answer {
            before: Some(7),
            ..Answer::default()
        };
        assert_eq!(silent.concluded(&deletion(Some(7)), 8), Some(8));
        assert_eq!(silent.concluded(&deletion(Some(7)), 7), None);
        assert_eq!(silent.concluded(&deletion(Some(7)), 9), None);
        assert_eq!(silent.concluded(&deletion(None), 9), Some(9));
        assert_eq!(silent.concluded(&deletion(None), 7), None);
    }

    #[test]
    fn a_batch_that_would_have_reported_a_change_has_changed_nothing() {
        let reports = |generation| Frame {
            generation,
            messages: 1,
            reports: true,
            ..Frame::default()
        };
        let silent = Answer::default();
        assert_eq!(silent.concluded(&reports(Some(7)), 7), Some(7));
        assert_eq!(silent.concluded(&reports(None), 9), Some(9));
    }

    #[test]
    fn generations_are_never_zero() {
        assert_eq!((next_generation(7), next_generation(u32::MAX)), (8, 1));
    }
}

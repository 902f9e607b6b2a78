//! Sending a transaction and making sense of the answer.
//!
//! Everything is processed inside `send`: when it returns, all replies are queued. Refused
//! messages come as one `NLMSG_ERROR` each; a commit comes as the echoes that were asked for, the
//! new generation, and (Linux 6.10) an acknowledgement of the closing message.

use std::io;

use nix::errno::Errno;

use super::batch::{Committed, FinishedBatch, Position};
use super::blame;
use super::error::{CommitError, ReadError, Refusal};
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
    let echoes = batch.frame.echoes.saturating_mul(ECHO_ROOM) + batch.frame.echoed_bytes * 2;
    socket.reserve(batch.bytes.len(), echoes.saturating_add(ERROR_ROOM));
    if let Err(error) = socket.send(&batch.bytes) {
        return Err(send_error(batch, socket, error));
    }
    let portid = socket.portid();
    let mut answer = Answer::default();
    loop {
        match socket.receive(Wait::No).map_err(io("receiving replies"))? {
            Received::Nothing => break,
            Received::Overrun => answer.lost = true,
            Received::Datagram(bytes) => answer.absorb(batch, bytes, portid),
        }
    }
    answer.settle(batch, socket)
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
    generation: Option<u32>,
    acknowledged: bool,
    handles: Vec<(usize, u64)>,
    errors: Vec<(Position, ErrorReply)>,
    more_errors: usize,
    /// Replies were dropped.
    lost: bool,
}

impl Answer {
    fn absorb(&mut self, batch: &FinishedBatch, datagram: &[u8], portid: u32) {
        for message in Messages::new(datagram) {
            let position = batch.frame.position_of(message.seq);
            if message.portid != portid || position == Position::Foreign {
                continue;
            }
            match message.kind {
                kind::ERROR => self.absorb_error(position, &message),
                msg::NEWGEN => {
                    self.generation = message.attrs().find(wire::GEN_ID).and_then(|a| a.u32_be());
                }
                msg::NEWRULE => self.absorb_echo(position, &message, wire::rule::HANDLE),
                msg::NEWCHAIN => self.absorb_echo(position, &message, wire::chain::HANDLE),
                msg::NEWTABLE => self.absorb_echo(position, &message, wire::table::HANDLE),
                _ => {}
            }
        }
    }

    fn absorb_error(&mut self, position: Position, message: &Message<'_>) {
        let Some(error) = ErrorReply::read(message) else {
            return;
        };
        if error.errno == 0 {
            self.acknowledged |= position == Position::End;
        } else if self.errors.len() < Refusal::MAX_LISTED {
            self.errors.push((position, error));
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
        let messages = batch.frame.messages;
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
        if batch.frame.first_is_anchor {
            self.handles.retain(|(index, _)| *index != 0);
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
        let present = read::generation(socket).map_err(|error| {
            CommitError::io("asking for the generation", io::Error::other(error))
        })?;
        let unchanged = frame.reports || frame.messages == 0;
        match frame.generation {
            // Reported or not, somebody else may have committed since; our own is known.
            Some(expected) if unchanged && (self.acknowledged || present == expected) => {
                Ok(expected)
            }
            Some(expected) if !unchanged && self.acknowledged => Ok(next_generation(expected)),
            None if self.acknowledged || frame.messages == 0 => Ok(present),
            _ => Err(CommitError::Unconfirmed {
                messages: frame.messages,
                committed: None,
            }),
        }
    }

    /// The error of the batch as a whole, from the reply to its opening message.
    fn frame_error(&self, batch: &FinishedBatch) -> Option<CommitError> {
        let (_, error) = self
            .errors
            .iter()
            .find(|(position, _)| *position == Position::Begin)?;
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

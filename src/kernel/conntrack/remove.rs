//! Removing entries of the table.

use std::io;

use nix::errno::Errno;

use super::{ConntrackError, Flow, wire};
use crate::kernel::netlink::{ErrorReply, Messages, Received, Socket, Wait, flags, kind};

/// Removes flows. Not the socket that reads them: a list may be under way there.
#[derive(Debug)]
pub struct FlowRemover {
    socket: Socket,
}

impl FlowRemover {
    /// As many as are removed with one system call. An error reply takes about a kilobyte of the
    /// receive queue: all of them fit.
    pub const BATCH: usize = 128;

    /// Opens a socket in the network namespace of the calling thread.
    ///
    /// # Errors
    /// Whatever opening a socket reports.
    pub fn open() -> Result<Self, ConntrackError> {
        let socket =
            Socket::open().map_err(|error| ConntrackError::of("open a netlink socket", error))?;
        Ok(Self { socket })
    }

    /// Removes flows, and says how many of them were still there.
    ///
    /// # Errors
    /// See [`ConntrackError`]. Others may have been removed.
    pub fn remove(&mut self, flows: &[Flow]) -> Result<usize, ConntrackError> {
        let mut removed = 0;
        for batch in flows.chunks(Self::BATCH) {
            removed += self
                .remove_batch(batch)
                .map_err(|error| ConntrackError::of("remove a connection", error))?;
        }
        Ok(removed)
    }

    fn remove_batch(&mut self, flows: &[Flow]) -> io::Result<usize> {
        self.socket.discard_stale()?;
        let mut bytes = Vec::with_capacity(flows.len() * 128);
        let mut last = 0;
        for (index, flow) in flows.iter().enumerate() {
            // The kernel answers every failure, and the last message whatever comes of it.
            let ack = if index + 1 == flows.len() {
                flags::ACK
            } else {
                0
            };
            last = self.socket.next_seq();
            bytes.extend(wire::delete(flow, ack, last));
        }
        self.socket.send(&bytes)?;
        self.outcome(flows.len(), last)
    }

    /// Reads replies until that to the `last` message.
    fn outcome(&mut self, sent: usize, last: u32) -> io::Result<usize> {
        let portid = self.socket.portid();
        let mut gone = 0;
        let mut failure = None;
        loop {
            let datagram = match self.socket.receive(Wait::ForReply)? {
                Received::Datagram(datagram) => datagram,
                Received::Nothing => return Err(io::ErrorKind::TimedOut.into()),
                Received::Overrun => return Err(Errno::ENOBUFS.into()),
            };
            let replies = Messages::new(datagram)
                .filter(|reply| reply.kind == kind::ERROR && reply.portid == portid);
            for reply in replies {
                match ErrorReply::read(&reply).map_or(0, |error| error.errno) {
                    0 => {}
                    // It ended by itself, or another one has its addresses now.
                    errno if errno == Errno::ENOENT as i32 => gone += 1,
                    errno => failure = failure.or(Some(errno)),
                }
                if reply.seq == last {
                    return match failure {
                        Some(errno) => Err(io::Error::from_raw_os_error(errno)),
                        None => Ok(sent - gone),
                    };
                }
            }
        }
    }
}

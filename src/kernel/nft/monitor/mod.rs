//! Hearing what other programs do to nf_tables.
//!
//! Owns a socket of its own in the multicast group `NFNLGRP_NFTABLES`. The kernel sends what a
//! transaction changed, object by object, and then its generation and the name of the process.
//! Transactions of our own are known by the port of the socket they were sent from, which the
//! kernel puts into every notification (`nlmsg_pid`); a filter keeps them out of the queue. Must
//! not decide what to do about a change.
//!
//! When to trust what was heard:
//!
//! 1. open the monitor, tell it the writer's socket ([`NftMonitor::ignore`]);
//! 2. read the tables; tell the monitor the generation that was read ([`NftMonitor::known`]);
//! 3. from then on every foreign change of interest is told once, or [`Heard::Overrun`] says that
//!    some may be missing: then back to 2.
//!
//! A listener has its price, which whoever commits pays: the kernel makes a notification of 8 KiB
//! for every changed object and keeps them all until the commit is done. On Linux 6.18 a commit of
//! one element takes 12 µs with a listener and 10 µs without, one of 100 000 elements 0.29 s and
//! 0.10 s, and one of 400 000 elements 3 GB of memory. So the monitor is not to listen while the
//! caller itself commits more than [`NftMonitor::LARGE`] objects: [`NftMonitor::pause`] and
//! [`NftMonitor::resume`].

mod error;
mod event;
mod incoming;
mod interest;
mod listener;
mod transaction;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

pub use error::MonitorError;
pub use event::{Change, ObjectKind};
pub use interest::Interest;
pub use listener::NftListener;
pub use transaction::{Damage, Process, Transaction};

use self::incoming::Incoming;
use super::{read, wire};
use crate::kernel::Socket;
use crate::kernel::netlink::{Received, Wait};

/// Room for notifications that wait to be read, in bytes of kernel memory (the kernel doubles it).
/// Some 100 000 elements.
const ROOM: usize = 16 * 1024 * 1024;

/// Something the caller has to act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Another program changed something of interest.
    Transaction(Transaction),
    /// Notifications were lost: read the tables again, then say so with [`NftMonitor::known`].
    /// Whatever happens from now on is heard again.
    Overrun,
}

/// A listener to the changes of nf_tables in one network namespace.
#[derive(Debug)]
pub struct NftMonitor {
    socket: Socket,
    interest: Interest,
    /// Ports whose transactions are the caller's own.
    own: Vec<u32>,
    incoming: Incoming,
    /// The queue ran over: to be told once it is empty.
    lost: bool,
}

/// What one look at the queue found.
enum Step {
    Heard(Heard),
    /// A datagram with nothing to tell.
    Nothing,
    /// The queue is empty.
    Empty,
}

impl NftMonitor {
    /// Listens in the network namespace of the calling thread, from now on.
    ///
    /// # Errors
    /// No permission (`CAP_NET_ADMIN` in the namespace is needed), or the socket failed.
    pub fn open(interest: Interest) -> Result<Self, MonitorError> {
        Self::open_with_room(interest, ROOM)
    }

    /// As [`NftMonitor::open`], with room for `bytes` of waiting notifications; what does not fit
    /// is an overrun.
    ///
    /// # Errors
    /// As [`NftMonitor::open`].
    pub fn open_with_room(interest: Interest, bytes: usize) -> Result<Self, MonitorError> {
        let socket = Socket::open().map_err(MonitorError::io("opening it"))?;
        socket.reserve_receive(bytes);
        socket.join(wire::GROUP).map_err(MonitorError::joining)?;
        Ok(Self {
            socket,
            interest,
            own: Vec::new(),
            incoming: Incoming::default(),
            lost: false,
        })
    }

    /// Passes over the transactions that `writer` sends, those already queued among them.
    ///
    /// The kernel may give a closed socket's port to another program: close `writer` only after
    /// [`NftMonitor::heed`] with its port, or together with the monitor.
    pub fn ignore(&mut self, writer: &Socket) {
        let port = writer.portid();
        if !self.own.contains(&port) {
            self.own.push(port);
            self.incoming.abandon_of(port);
            self.update_filter();
        }
    }

    /// Takes the transactions of a port for foreign ones again.
    pub fn heed(&mut self, port: u32) {
        self.own.retain(|own| *own != port);
        self.update_filter();
    }

    /// The filter only spares work: what comes through is looked at again.
    fn update_filter(&self) {
        if let Err(error) = self.socket.drop_messages_of(&self.own) {
            tracing::debug!(%error, "own nf_tables transactions are not filtered in the kernel");
        }
    }

    /// The caller has read everything of interest at this generation: what other programs did up
    /// to it needs no telling.
    pub fn known(&mut self, generation: u32) {
        self.incoming.known = Some(generation);
    }

    /// A commit of more objects than this is better made with the monitor paused: below, the
    /// notifications take less than 8 MB of kernel memory and a millisecond or two.
    pub const LARGE: usize = 1000;

    /// Stops listening, so that a large commit of the caller's own makes no notifications.
    ///
    /// For nothing to be missed, what the caller knows of the tables must belong to one generation
    /// from before the pause or later: the one it has read, heard
    /// ([`NftMonitor::last_generation`]) or made last. It binds each commit to that generation or
    /// to that of its commit before, and gives the last one to [`NftMonitor::resume`].
    ///
    /// # Errors
    /// The socket failed.
    pub fn pause(&mut self) -> Result<(), MonitorError> {
        let left = self.socket.leave(wire::GROUP);
        left.map_err(MonitorError::io("leaving the group of notifications"))
    }

    /// Listens again after [`NftMonitor::pause`]. Unless nobody has committed since `generation`,
    /// the next thing heard is [`Heard::Overrun`].
    ///
    /// # Errors
    /// The socket or `reader` failed; try again, or open a new monitor and read everything.
    pub fn resume(&mut self, generation: u32, reader: &mut Socket) -> Result<(), MonitorError> {
        // In this order: a commit in between is heard and changes the generation.
        self.socket
            .join(wire::GROUP)
            .map_err(MonitorError::joining)?;
        let present = read::generation(reader).map_err(MonitorError::Generation)?;
        if present == generation {
            self.known(generation);
        } else {
            self.lost = true;
        }
        Ok(())
    }

    /// The last foreign generation heard, of interest or not.
    #[must_use]
    pub fn last_generation(&self) -> Option<u32> {
        self.incoming.last
    }

    /// Takes what is queued until there is something to tell; `None` if there is nothing. Never
    /// waits.
    ///
    /// # Errors
    /// The socket failed; an overrun is none.
    pub fn try_recv(&mut self) -> Result<Option<Heard>, MonitorError> {
        loop {
            match self.step()? {
                Step::Heard(heard) => return Ok(Some(heard)),
                Step::Nothing => {}
                Step::Empty => return Ok(None),
            }
        }
    }

    /// Looks at one datagram.
    fn step(&mut self) -> Result<Step, MonitorError> {
        if let Some(heard) = self.incoming.ready.pop_front() {
            return Ok(Step::Heard(heard));
        }
        let received = self.socket.receive(Wait::No);
        match received.map_err(MonitorError::io("receiving"))? {
            Received::Nothing if self.lost => {
                // After an overrun the kernel drops everything until the queue is empty, so only
                // now is the caller's reading of the tables certain to miss nothing.
                self.lost = false;
                self.incoming.abandon();
                Ok(Step::Heard(Heard::Overrun))
            }
            Received::Nothing => Ok(Step::Empty),
            Received::Overrun => {
                self.lost = true;
                Ok(Step::Nothing)
            }
            Received::Datagram(_) if self.lost => Ok(Step::Nothing),
            Received::Datagram(bytes) => {
                self.incoming.take(bytes, &self.own, &self.interest);
                Ok(self
                    .incoming
                    .ready
                    .pop_front()
                    .map_or(Step::Nothing, Step::Heard))
            }
        }
    }
}

impl AsFd for NftMonitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.borrow_fd()
    }
}

impl AsRawFd for NftMonitor {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

#[cfg(test)]
mod tests;

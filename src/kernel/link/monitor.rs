//! Hearing what others do to links and addresses.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use super::LinkError;
use super::wire::{self, DELADDR, DELLINK, GROUPS, NEWADDR};
use crate::kernel::netlink::{Bus, Messages, Received, Socket, Wait};

/// Room for what is not heard at once.
const ROOM: usize = 4 << 20;

/// What somebody did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// A link went.
    LinkDeleted {
        /// Its name.
        name: String,
    },
    /// An address came.
    AddressAdded {
        /// The address.
        address: IpAddr,
        /// Index of its link.
        link: u32,
    },
    /// An address went.
    AddressDeleted {
        /// The address.
        address: IpAddr,
        /// Index of the link that had it.
        link: u32,
    },
    /// More happened than could be heard.
    Overrun,
}

/// A listener on links and addresses of the network namespace it was opened in.
#[derive(Debug)]
pub struct LinkMonitor {
    socket: Socket,
    /// Whose changes are not told.
    own: u32,
}

impl LinkMonitor {
    /// Listens from now on; what the socket with port `own` does is not told.
    ///
    /// # Errors
    /// What `socket(2)` and `setsockopt(2)` report.
    pub fn open(own: u32) -> Result<Self, LinkError> {
        let socket = Socket::open_on(Bus::Route).map_err(LinkError::io("open"))?;
        socket.reserve_receive(ROOM);
        for group in GROUPS {
            socket.join(group).map_err(LinkError::io("listen"))?;
        }
        Ok(Self { socket, own })
    }

    /// Everything that was heard since the last call; never waits.
    ///
    /// # Errors
    /// The socket failed.
    pub fn heard(&mut self) -> io::Result<Vec<LinkEvent>> {
        let mut events = Vec::new();
        loop {
            match self.socket.receive(Wait::No)? {
                Received::Nothing => return Ok(events),
                Received::Overrun => events.push(LinkEvent::Overrun),
                Received::Datagram(datagram) => {
                    for message in Messages::new(datagram) {
                        if message.portid == self.own && message.kind != DELLINK {
                            continue;
                        }
                        events.extend(match message.kind {
                            DELLINK => wire::link(&message).map(|link| LinkEvent::LinkDeleted {
                                name: link.name.to_owned(),
                            }),
                            NEWADDR => wire::address(&message)
                                .map(|(address, link)| LinkEvent::AddressAdded { address, link }),
                            DELADDR => wire::address(&message)
                                .map(|(address, link)| LinkEvent::AddressDeleted { address, link }),
                            _ => None,
                        });
                    }
                }
            }
        }
    }
}

impl AsFd for LinkMonitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.borrow_fd()
    }
}

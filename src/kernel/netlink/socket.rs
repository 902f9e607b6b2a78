//! A netlink socket: opened in the network namespace of the calling thread, and bound to
//! it from then on.
//!
//! Owns buffer sizes and the rule that every reply is taken out of the queue before the next
//! request goes in. Must not know what the messages mean.

use std::io;
use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{MsgFlags, NetlinkAddr, recvmsg, setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

/// Room for one datagram of replies. Dumps come in pieces of at most 32 KiB, echoes in pieces of a
/// page; a datagram that does not fit is an error, not cut off.
const DATAGRAM: usize = 256 * 1024;
/// How long a blocking receive waits. Replies are queued before `send` returns, so this only ends
/// a wait for something that will never come.
const REPLY_TIMEOUT_SECONDS: i64 = 10;
/// Largest value `SO_SNDBUFFORCE` and `SO_RCVBUFFORCE` keep: the kernel doubles it into an `int`.
const BUFFER_MAX: usize = (i32::MAX / 2) as usize;

/// Whether a receive may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Until something comes, at most ten seconds.
    ForReply,
    /// Not at all.
    No,
}

/// What a receive found.
#[derive(Debug)]
pub(crate) enum Received<'a> {
    /// One datagram of messages.
    Datagram(&'a [u8]),
    /// Nothing is queued.
    Nothing,
    /// Replies were dropped for lack of room (`ENOBUFS`); those that fitted are still queued.
    Overrun,
}

/// Which of the kernel's netlink families a socket talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bus {
    /// nf_tables, nfacct, conntrack.
    Netfilter,
    /// Generic netlink: IPVS.
    Generic,
    /// rtnetlink: links and addresses.
    Route,
}

/// A socket to the kernel's netfilter subsystems.
pub struct Socket {
    inner: mnl::Socket,
    buffer: Vec<u8>,
    next_seq: u32,
    /// What the send buffer was last asked to hold.
    send_room: usize,
}

// SAFETY: `mnl::Socket` owns a `struct mnl_socket`, which is a file descriptor and an address;
// nothing in it is tied to the thread that made it, and `&mut` access is never shared.
unsafe impl Send for Socket {}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket")
            .field("fd", &self.inner.as_raw_fd())
            .field("portid", &self.portid())
            .finish_non_exhaustive()
    }
}

impl Socket {
    /// Opens a socket in the network namespace of the calling thread.
    ///
    /// # Errors
    /// Whatever `socket(2)`, `bind(2)` or `setsockopt(2)` report. Opening needs no privilege;
    /// using the socket does.
    pub fn open() -> io::Result<Self> {
        Self::open_on(Bus::Netfilter)
    }

    /// The same for another family.
    pub(crate) fn open_on(bus: Bus) -> io::Result<Self> {
        let inner = mnl::Socket::new(match bus {
            Bus::Netfilter => mnl::Bus::Netfilter,
            Bus::Generic => mnl::Bus::Generic,
            Bus::Route => mnl::Bus::Route,
        })?;
        let socket = Self {
            inner,
            buffer: vec![0; DATAGRAM],
            next_seq: 1,
            send_room: 0,
        };
        socket.set_netlink_option(libc::NETLINK_EXT_ACK, 1)?;
        socket.set_netlink_option(libc::NETLINK_CAP_ACK, 1)?;
        let timeout = TimeVal::seconds(REPLY_TIMEOUT_SECONDS);
        setsockopt(&socket.borrow_fd(), sockopt::ReceiveTimeout, &timeout)?;
        Ok(socket)
    }

    /// The port the kernel addresses this socket by (`nlmsg_pid`). No other socket of the family in the
    /// network namespace has it as long as this one is open.
    #[must_use]
    pub fn portid(&self) -> u32 {
        self.inner.portid()
    }

    /// A sequence number for a request of its own.
    pub(crate) fn next_seq(&mut self) -> u32 {
        self.next_seq = self.next_seq.wrapping_add(1);
        self.next_seq
    }

    /// Makes room for sending `send` bytes at once and for `replies` bytes of replies.
    ///
    /// Needs `CAP_NET_ADMIN` to go beyond the system's limits; without it the buffers grow as far
    /// as those allow.
    pub(crate) fn reserve(&mut self, send: usize, replies: usize) {
        let send = send.saturating_add(64 * 1024).min(BUFFER_MAX);
        let fd = self.borrow_fd();
        // The unprivileged forms cannot fail: they are capped at net.core.wmem_max and rmem_max.
        if send > self.send_room && setsockopt(&fd, sockopt::SndBufForce, &send).is_err() {
            let _ = setsockopt(&fd, sockopt::SndBuf, &send);
        }
        self.send_room = self.send_room.max(send);
        self.reserve_receive(replies);
    }

    /// Makes room for `bytes` of messages that wait to be received, as far as the process may.
    pub(crate) fn reserve_receive(&self, bytes: usize) {
        let bytes = bytes.min(BUFFER_MAX);
        let fd = self.borrow_fd();
        if setsockopt(&fd, sockopt::RcvBufForce, &bytes).is_err() {
            let _ = setsockopt(&fd, sockopt::RcvBuf, &bytes);
        }
    }

    /// Hears what is sent to a multicast group from now on. Needs `CAP_NET_ADMIN`.
    pub(crate) fn join(&self, group: u32) -> io::Result<()> {
        self.set_netlink_option(libc::NETLINK_ADD_MEMBERSHIP, group)
    }

    /// Hears nothing of a multicast group any more; what is queued stays.
    pub(crate) fn leave(&self, group: u32) -> io::Result<()> {
        self.set_netlink_option(libc::NETLINK_DROP_MEMBERSHIP, group)
    }

    /// Sends one datagram. The kernel has processed all of it, and queued all replies, when this
    /// returns.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let sent = self.inner.send(bytes)?;
        if sent == bytes.len() {
            Ok(())
        } else {
            Err(io::Error::other(format!(
                "only {sent} of {} bytes were sent",
                bytes.len()
            )))
        }
    }

    /// Takes one datagram of replies out of the queue.
    pub(crate) fn receive(&mut self, wait: Wait) -> io::Result<Received<'_>> {
        let mut flags = MsgFlags::MSG_TRUNC;
        if wait == Wait::No {
            flags |= MsgFlags::MSG_DONTWAIT;
        }
        loop {
            let fd = self.inner.as_raw_fd();
            let (len, sender, truncated) = match receive_into(fd, &mut self.buffer, flags) {
                Ok(received) => received,
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => return Ok(Received::Nothing),
                Err(Errno::ENOBUFS) => return Ok(Received::Overrun),
                Err(errno) => return Err(errno.into()),
            };
            if truncated {
                return Err(io::Error::other(format!(
                    "a netlink datagram of {len} bytes does not fit into {DATAGRAM}"
                )));
            }
            // Only the kernel has port 0; other processes can send to this socket too.
            if sender == 0 {
                return Ok(Received::Datagram(
                    self.buffer.get(..len).unwrap_or_default(),
                ));
            }
        }
    }

    /// Throws away whatever an abandoned request left in the queue.
    pub(crate) fn discard_stale(&mut self) -> io::Result<()> {
        while !matches!(self.receive(Wait::No)?, Received::Nothing) {}
        Ok(())
    }

    pub(crate) fn borrow_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is open as long as `self.inner` lives, which the lifetime of the
        // result says.
        unsafe { BorrowedFd::borrow_raw(self.inner.as_raw_fd()) }
    }

    fn set_netlink_option(&self, option: libc::c_int, value: u32) -> io::Result<()> {
        const LEN: libc::socklen_t = 4;
        // SAFETY: `value` is a C int of `LEN` bytes that outlives the call, the descriptor is open.
        let result = unsafe {
            libc::setsockopt(
                self.inner.as_raw_fd(),
                libc::SOL_NETLINK,
                option,
                std::ptr::from_ref(&value).cast(),
                LEN,
            )
        };
        Errno::result(result).map(drop).map_err(io::Error::from)
    }
}

/// Receives one datagram: its length, its sender's port, and whether it was cut.
fn receive_into(fd: RawFd, buffer: &mut [u8], flags: MsgFlags) -> nix::Result<(usize, u32, bool)> {
    let mut slices = [IoSliceMut::new(buffer)];
    let received = recvmsg::<NetlinkAddr>(fd, &mut slices, None, flags)?;
    Ok((
        received.bytes,
        received.address.map_or(0, |from| from.pid()),
        received.flags.contains(MsgFlags::MSG_TRUNC),
    ))
}

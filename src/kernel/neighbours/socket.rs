//! A socket for whole Ethernet frames of one type on one link (packet(7)).

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{MsgFlags, recv, send};
use socket2::{Domain, Protocol, Socket, Type};

use crate::kernel::filter;

#[derive(Debug)]
pub(super) struct PacketSocket(OwnedFd);

impl PacketSocket {
    pub(super) fn open(link: u32, ethertype: u16) -> io::Result<Self> {
        let protocol = ethertype.to_be();
        // Protocol 0 first: nothing is to be queued of other links before it is bound.
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
        socket.set_nonblocking(true)?;
        let index = i32::try_from(link).map_err(|_| io::Error::from(Errno::ENODEV))?;
        // SAFETY: all zeros is a valid `struct sockaddr_ll`: it holds numbers and bytes.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = u16::try_from(libc::AF_PACKET).unwrap_or_default();
        address.sll_protocol = protocol;
        address.sll_ifindex = index;
        let length = size_of::<libc::sockaddr_ll>();
        // SAFETY: `address` is a `struct sockaddr_ll` of `length` bytes that outlives the call; the
        // descriptor is open.
        let result = unsafe {
            libc::bind(
                socket.as_raw_fd(),
                std::ptr::from_ref(&address).cast(),
                libc::socklen_t::try_from(length).unwrap_or_default(),
            )
        };
        Errno::result(result)?;
        Ok(Self(socket.into()))
    }

    /// Queues only what the program keeps.
    pub(super) fn keep_only(&self, program: &mut [libc::sock_filter]) -> io::Result<()> {
        filter::attach(self.0.as_fd(), program)
    }

    /// A frame's length, `None` if none waits. What is longer than the buffer is cut.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match recv(self.0.as_raw_fd(), buffer, MsgFlags::empty()) {
            Ok(length) => Ok(Some(length)),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    pub(super) fn send(&self, frame: &[u8]) -> io::Result<()> {
        send(self.0.as_raw_fd(), frame, MsgFlags::empty())?;
        Ok(())
    }

    pub(super) fn duplicate(&self) -> io::Result<OwnedFd> {
        self.0.try_clone()
    }
}

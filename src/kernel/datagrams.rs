//! UDP datagrams in batches: one system call for many requests, and one for their replies.
//!
//! A reply leaves from the address its request came to, also on a socket bound to all addresses
//! (`IP_PKTINFO`, `IPV6_RECVPKTINFO`). Must not know what is in a datagram.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::ptr;

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{SockAddr, SockAddrStorage};

/// Datagrams taken in one system call.
const BATCH: usize = 64;
/// Bytes of a request that are taken; longer ones are cut and told as such.
const ROOM: usize = 4096;
/// Bytes for one `in6_pktinfo` or `in_pktinfo` with its header (36 at most, aligned).
const CONTROL: usize = 64;

/// Bytes of any address.
#[expect(clippy::cast_possible_truncation, reason = "128 bytes")]
const NAME: libc::socklen_t = size_of::<libc::sockaddr_storage>() as libc::socklen_t;

/// Control data, aligned as `cmsghdr` wants it.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// Where a datagram came from, and to which address: where a reply goes.
#[derive(Clone, Debug)]
pub struct Peer {
    name: SockAddr,
    control: Control,
    control_length: usize,
}

/// A datagram to send.
#[derive(Clone, Debug)]
pub struct Reply {
    /// To whom.
    pub peer: Peer,
    /// What.
    pub bytes: Vec<u8>,
}

impl Peer {
    /// The address and port.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.name.as_socket()
    }
}

/// Asks for the address that datagrams come to, so that replies leave from there.
///
/// # Errors
/// The kernel refuses the socket option.
pub fn keep_destination(socket: &UdpSocket) -> io::Result<()> {
    if socket.local_addr()?.is_ipv6() {
        setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    } else {
        setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
    }
    Ok(())
}

/// Room for one batch of requests. Reused: nothing is allocated for a batch.
pub struct Requests {
    bytes: Vec<[u8; ROOM]>,
    names: Vec<libc::sockaddr_storage>,
    controls: Vec<Control>,
    lengths: [Length; BATCH],
    count: usize,
}

#[derive(Clone, Copy, Default)]
struct Length {
    bytes: usize,
    name: libc::socklen_t,
    control: usize,
    cut: bool,
}

impl std::fmt::Debug for Requests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Requests")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            bytes: vec![[0; ROOM]; BATCH],
            // SAFETY: an address of zeros is one of no family.
            names: vec![unsafe { std::mem::zeroed() }; BATCH],
            controls: vec![Control([0; CONTROL]); BATCH],
            lengths: [Length::default(); BATCH],
            count: 0,
        }
    }
}

impl Requests {
    /// Waits for a datagram, and takes in all that are there.
    ///
    /// # Errors
    /// `WouldBlock` after the socket's read timeout; `ConnectionRefused` and the like, which
    /// concern an earlier reply.
    pub fn receive(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        self.count = 0;
        let mut vectors = [EMPTY_VECTOR; BATCH];
        let mut headers = [EMPTY_HEADER; BATCH];
        for i in 0..BATCH {
            vectors[i] = libc::iovec {
                iov_base: self.bytes[i].as_mut_ptr().cast(),
                iov_len: ROOM,
            };
            let header = &mut headers[i].msg_hdr;
            header.msg_name = ptr::from_mut(&mut self.names[i]).cast();
            header.msg_namelen = NAME;
            header.msg_iov = &raw mut vectors[i];
            header.msg_iovlen = 1;
            header.msg_control = self.controls[i].0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL;
        }
        // SAFETY: every header points to buffers of the lengths it gives, which live, as do the
        // headers, until the call returns.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                libc::c_uint::try_from(BATCH).unwrap_or(1),
                libc::MSG_WAITFORONE,
                ptr::null_mut(),
            )
        };
        let count = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        for (header, length) in headers.iter().zip(&mut self.lengths).take(count) {
            *length = Length {
                bytes: usize::try_from(header.msg_len).unwrap_or(0).min(ROOM),
                name: header.msg_hdr.msg_namelen,
                control: header.msg_hdr.msg_controllen,
                cut: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            };
        }
        self.count = count;
        Ok(count)
    }

    /// The datagrams that came, with `None` for one too long to be taken.
    pub fn iter(&self) -> impl Iterator<Item = (Option<&[u8]>, Peer)> {
        (0..self.count).map(|i| {
            let length = self.lengths[i];
            let bytes = self.bytes[i].get(..length.bytes).filter(|_| !length.cut);
            (bytes, self.peer(i))
        })
    }

    fn peer(&self, i: usize) -> Peer {
        let length = self.lengths[i];
        let mut storage = SockAddrStorage::zeroed();
        // SAFETY: it is a storage of any address, as this is.
        let place = unsafe { storage.view_as::<libc::sockaddr_storage>() };
        *place = self.names[i];
        // SAFETY: the kernel filled in as much of the storage as it said in the length.
        let name = unsafe { SockAddr::new(storage, length.name) };
        let mut control = self.controls[i];
        any_interface(&mut control, length.control);
        Peer {
            name,
            control,
            control_length: length.control,
        }
    }
}

/// Sends all replies. One that cannot be sent is dropped, as the network may do: the client asks
/// again.
pub fn send(socket: &UdpSocket, replies: &mut [Reply]) {
    for batch in replies.chunks_mut(BATCH) {
        send_batch(socket, batch);
    }
}

fn send_batch(socket: &UdpSocket, batch: &mut [Reply]) {
    let mut vectors = [EMPTY_VECTOR; BATCH];
    let mut headers = [EMPTY_HEADER; BATCH];
    for (i, reply) in batch.iter_mut().enumerate() {
        vectors[i] = libc::iovec {
            iov_base: reply.bytes.as_mut_ptr().cast(),
            iov_len: reply.bytes.len(),
        };
        let header = &mut headers[i].msg_hdr;
        header.msg_name = reply.peer.name.as_ptr().cast_mut().cast();
        header.msg_namelen = reply.peer.name.len();
        header.msg_iov = &raw mut vectors[i];
        header.msg_iovlen = 1;
        if reply.peer.control_length > 0 {
            header.msg_control = reply.peer.control.0.as_mut_ptr().cast();
            header.msg_controllen = reply.peer.control_length;
        }
    }
    let mut sent = 0;
    while let Some(rest) = headers[..batch.len()]
        .get_mut(sent..)
        .filter(|rest| !rest.is_empty())
    {
        // SAFETY: every header points to buffers of the lengths it gives, which live, as do the
        // headers, until the call returns.
        let done = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                rest.as_mut_ptr(),
                libc::c_uint::try_from(rest.len()).unwrap_or(1),
                0,
            )
        };
        // An error is about the first of the rest.
        sent += usize::try_from(done).unwrap_or(1).max(1);
    }
}

/// Takes the interface out of packet information: the routes decide where a reply goes, as they
/// do for every other packet. Only a link-local address needs it.
fn any_interface(control: &mut Control, length: usize) {
    const HEADER: usize = size_of::<libc::cmsghdr>();
    let (v4, v6) = (
        size_of::<libc::in_pktinfo>(),
        size_of::<libc::in6_pktinfo>(),
    );
    let index = match length.checked_sub(HEADER) {
        // The index is the first field of in_pktinfo, and the last one of in6_pktinfo.
        Some(data) if (v4..v6).contains(&data) => HEADER,
        Some(data) if data >= v6 && control.0[HEADER] != 0xfe => HEADER + 16,
        _ => return,
    };
    control.0[index..index + 4].fill(0);
}

const EMPTY_VECTOR: libc::iovec = libc::iovec {
    iov_base: ptr::null_mut(),
    iov_len: 0,
};

const EMPTY_HEADER: libc::mmsghdr = libc::mmsghdr {
    msg_hdr: libc::msghdr {
        msg_name: ptr::null_mut(),
        msg_namelen: 0,
        msg_iov: ptr::null_mut(),
        msg_iovlen: 0,
        msg_control: ptr::null_mut(),
        msg_controllen: 0,
        msg_flags: 0,
    },
    msg_len: 0,
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn replies_leave_from_the_address_that_was_asked() {
        for (all, asked) in [("0.0.0.0:0", "127.0.0.9"), ("[::]:0", "::1")] {
            let server = UdpSocket::bind(all).unwrap();
            server
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            keep_destination(&server).unwrap();
            let port = server.local_addr().unwrap().port();
            let asked = SocketAddr::new(asked.parse().unwrap(), port);
            let local = if asked.is_ipv4() {
                "127.0.0.1:0"
            } else {
                "[::1]:0"
            };
            let client = UdpSocket::bind(local).unwrap();
            client
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            for number in 0..100_u8 {
                client.send_to(&[number; 10], asked).unwrap();
            }
            let (mut requests, mut seen) = (Requests::default(), 0);
            while seen < 100 {
                seen += requests.receive(&server).unwrap();
                let replies = requests.iter().map(|(bytes, peer)| Reply {
                    peer,
                    bytes: bytes.unwrap().to_vec(),
                });
                send(&server, &mut replies.collect::<Vec<_>>());
            }
            for number in 0..100_u8 {
                let mut buffer = [0; 32];
                let (length, from) = client.recv_from(&mut buffer).unwrap();
                assert_eq!((&buffer[..length], from), (&[number; 10][..], asked));
            }
        }
    }
}

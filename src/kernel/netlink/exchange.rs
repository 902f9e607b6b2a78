//! One request and its replies, on a socket that has nothing else under way.

use std::io;

use nix::errno::Errno;

use super::{ErrorReply, Message, Messages, Received, Socket, Wait, kind};

/// Sends a request and shows its replies to `each`, until the kernel says that they are all: by an
/// acknowledgement, or by the end of a dump.
///
/// # Errors
/// The kernel's errno, or what the socket said. After an error inside a dump the rest of it is
/// thrown away by the next exchange.
pub(crate) fn exchange(
    socket: &mut Socket,
    request: &[u8],
    seq: u32,
    each: &mut dyn FnMut(&Message<'_>),
) -> io::Result<()> {
    let answer = answers(socket, request, seq, each)?;
    answer.map_err(|reply| io::Error::from_raw_os_error(reply.errno))
}

/// The same, with the kernel's own words where it refuses the request.
///
/// # Errors
/// What the socket said.
pub(crate) fn answers(
    socket: &mut Socket,
    request: &[u8],
    seq: u32,
    each: &mut dyn FnMut(&Message<'_>),
) -> io::Result<Result<(), ErrorReply>> {
    socket.discard_stale()?;
    socket.send(request)?;
    let portid = socket.portid();
    loop {
        let datagram = match socket.receive(Wait::ForReply)? {
            Received::Datagram(datagram) => datagram,
            Received::Nothing => return Err(io::ErrorKind::TimedOut.into()),
            Received::Overrun => return Err(Errno::ENOBUFS.into()),
        };
        for message in Messages::new(datagram) {
            if message.seq != seq || message.portid != portid {
                continue;
            }
            if message.kind != kind::ERROR && message.kind != kind::DONE {
                each(&message);
                continue;
            }
            let refusal = ErrorReply::read(&message).filter(|reply| reply.errno != 0);
            return Ok(refusal.map_or(Ok(()), Err));
        }
    }
}

//! Moving bytes from one socket to another without copying them through this process: a pipe as
//! the buffer, `splice(2)` on either end of it.
//!
//! Must not wait: both ends are non-blocking, the caller waits for readiness.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::ptr;

use nix::fcntl::OFlag;
use nix::unistd::pipe2;

/// Room that is asked for, in bytes; the kernel's limit for the user may allow less.
const ROOM: libc::c_int = 256 * 1024;

/// A pipe that holds what was taken from one socket and not yet given to another.
#[derive(Debug)]
pub struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
    held: usize,
    room: usize,
}

impl Pipe {
    /// An empty pipe.
    ///
    /// # Errors
    /// No more files may be open.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)?;
        // SAFETY: the descriptor is open and F_SETPIPE_SZ takes an int.
        let room = unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETPIPE_SZ, ROOM) };
        Ok(Self {
            reader,
            writer,
            held: 0,
            // A refusal leaves the usual 16 pages.
            room: usize::try_from(room).unwrap_or(64 * 1024),
        })
    }

    /// Bytes in it.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// Takes from a socket what is there and fits; 0 at the end of the stream. To be called with
    /// an empty pipe: a full one looks like an empty socket.
    ///
    /// # Errors
    /// `WouldBlock` where nothing is there; what the connection says.
    pub fn fill(&mut self, from: &impl AsFd) -> io::Result<usize> {
        let from = from.as_fd().as_raw_fd();
        let moved = splice(from, self.writer.as_raw_fd(), self.room)?;
        self.held += moved;
        Ok(moved)
    }

    /// Gives to a socket what it takes of what the pipe holds.
    ///
    /// # Errors
    /// `WouldBlock` where it takes nothing; what the connection says.
    pub fn drain(&mut self, to: &impl AsFd) -> io::Result<usize> {
        let to = to.as_fd().as_raw_fd();
        let moved = splice(self.reader.as_raw_fd(), to, self.held)?;
        self.held = self.held.saturating_sub(moved);
        Ok(moved)
    }
}

fn splice(from: RawFd, to: RawFd, most: usize) -> io::Result<usize> {
    let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK;
    // SAFETY: both descriptors are borrowed from open files, and null offsets are what sockets and
    // pipes want.
    let moved = unsafe { libc::splice(from, ptr::null_mut(), to, ptr::null_mut(), most, flags) };
    usize::try_from(moved).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (one, listener.accept().unwrap().0)
    }

    #[test]
    fn bytes_pass_from_socket_to_socket_and_the_end_is_seen() {
        let ((mut client, inside), (outside, mut server)) = (pair(), pair());
        let mut pipe = Pipe::new().unwrap();
        client.write_all(b"hello").unwrap();
        drop(client);
        let mut moved = 0;
        while moved < 5 {
            moved += match pipe.fill(&inside) {
                Ok(0) => panic!("the end before the bytes"),
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) => panic!("{error}"),
            };
            while pipe.held() > 0 {
                pipe.drain(&outside).unwrap();
            }
        }
        assert_eq!(pipe.fill(&inside).unwrap(), 0);
        drop(outside);
        let mut text = String::new();
        server.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    }
}

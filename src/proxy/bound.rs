//! Sockets that clients come to.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// What is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

/// A socket that clients come to, in the network namespace of the thread that bound it.
#[derive(Debug)]
pub enum Bound {
    /// Listens for connections.
    Tcp(TcpListener),
    /// Takes datagrams.
    Udp(UdpSocket),
}

impl Bound {
    /// Binds to an address; port 0 for one that the kernel chooses. The address need not be there
    /// yet: one of IPv6 takes a moment until it is known to be unique.
    ///
    /// # Errors
    /// The port is taken, or the kernel has another reason.
    pub fn bind(transport: Transport, address: SocketAddr) -> io::Result<Self> {
        let (kind, protocol) = match transport {
            Transport::Tcp => (Type::STREAM, Protocol::TCP),
            Transport::Udp => (Type::DGRAM, Protocol::UDP),
        };
        let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
        match address {
            SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
            SocketAddr::V6(_) => {
                socket.set_freebind_v6(true)?;
                socket.set_only_v6(true)?;
            }
        }
        if transport == Transport::Tcp {
            socket.set_reuse_address(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(match transport {
            Transport::Tcp => {
                socket.listen(BACKLOG)?;
                Self::Tcp(socket.into())
            }
            Transport::Udp => Self::Udp(socket.into()),
        })
    }

    /// Where it is bound to.
    ///
    /// # Errors
    /// The kernel's.
    pub fn address(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr(),
            Self::Udp(socket) => socket.local_addr(),
        }
    }
}

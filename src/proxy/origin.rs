//! Where connections to endpoints are made from.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

use crate::kernel::netns::{self, NetnsRef};

/// The network namespace that endpoints are reached from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// That of the threads that forward.
    #[default]
    Here,
    /// Another: sockets are made there and used here.
    Netns(NetnsRef),
}

impl Origin {
    /// Connects to an endpoint.
    ///
    /// # Errors
    /// What the connection came to, or why there is no socket for it.
    pub(super) async fn connect(&self, endpoint: SocketAddr) -> io::Result<TcpStream> {
        let socket = self.socket(endpoint, Type::STREAM, Protocol::TCP)?;
        socket.set_tcp_nodelay(true)?;
        let socket = TcpSocket::from_std_stream(socket.into());
        socket.connect(endpoint).await
    }

    /// A socket that exchanges datagrams with one endpoint.
    ///
    /// # Errors
    /// There is no way to it, or no socket.
    pub(super) fn datagrams(&self, endpoint: SocketAddr) -> io::Result<UdpSocket> {
        let socket = self.socket(endpoint, Type::DGRAM, Protocol::UDP)?;
        let any: SocketAddr = match endpoint {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        socket.bind(&any.into())?;
        socket.connect(&endpoint.into())?;
        UdpSocket::from_std(socket.into())
    }

    fn socket(&self, to: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
        let make = || Socket::new(Domain::for_address(to), kind, Some(protocol));
        let socket = match self {
            Self::Here => make()?,
            // A thread of its own for each socket: what is forwarded from another namespace is one
            // developer's.
            Self::Netns(namespace) => {
                netns::run_in(namespace, make).map_err(io::Error::other)??
            }
        };
        socket.set_nonblocking(true)?;
        Ok(socket)
    }
}

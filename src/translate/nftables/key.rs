//! Keys and data of elements, byte for byte as packets carry them.
//!
//! Every field is padded to 4 bytes. Addresses and ports are in network order; slots and sizes in
//! host order, because that is what `numgen` leaves in its register.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::model::{IpFamily, Protocol};

/// What a client connects to. A node port has address `0.0.0.0` or `::`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrontEnd {
    /// Address.
    pub address: IpAddr,
    /// Protocol.
    pub protocol: Protocol,
    /// Port.
    pub port: u16,
}

/// `10.233.10.1:80/TCP`, `node port 30080/TCP`.
impl fmt::Display for FrontEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.address.is_unspecified() {
            write!(f, "node port {}/{}", self.port, self.protocol)
        } else {
            let socket = SocketAddr::new(self.address, self.port);
            write!(f, "{socket}/{}", self.protocol)
        }
    }
}

/// The address of node ports.
pub(super) fn zero(family: IpFamily) -> IpAddr {
    match family {
        IpFamily::V4 => Ipv4Addr::UNSPECIFIED.into(),
        IpFamily::V6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// A key under construction.
#[derive(Clone, Debug, Default)]
pub(super) struct Key(Vec<u8>);

impl Key {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn address(mut self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => self.0.extend(v4.octets()),
            IpAddr::V6(v6) => self.0.extend(v6.octets()),
        }
        self
    }

    pub(super) fn protocol(mut self, protocol: Protocol) -> Self {
        self.0.extend([protocol.number(), 0, 0, 0]);
        self
    }

    pub(super) fn port(mut self, port: u16) -> Self {
        self.0.extend(port.to_be_bytes());
        self.0.extend([0, 0]);
        self
    }

    pub(super) fn number(mut self, number: u32) -> Self {
        self.0.extend(number.to_ne_bytes());
        self
    }

    pub(super) fn front_end(self, front_end: FrontEnd) -> Self {
        self.address(front_end.address)
            .protocol(front_end.protocol)
            .port(front_end.port)
    }

    pub(super) fn socket(self, socket: SocketAddr) -> Self {
        self.address(socket.ip()).port(socket.port())
    }

    pub(super) fn bytes(self) -> Box<[u8]> {
        self.0.into()
    }
}

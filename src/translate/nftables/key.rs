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
pub(in crate::translate) fn zero(family: IpFamily) -> IpAddr {
    match family {
        IpFamily::V4 => Ipv4Addr::UNSPECIFIED.into(),
        IpFamily::V6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// A key under construction.
#[derive(Clone, Debug, Default)]
pub(in crate::translate) struct Key(Vec<u8>);

impl Key {
    pub(in crate::translate) fn new() -> Self {
        Self::default()
    }

    pub(in crate::translate) fn address(mut self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => self.0.extend(v4.octets()),
            IpAddr::V6(v6) => self.0.extend(v6.octets()),
        }
        self
    }

    pub(in crate::translate) fn protocol(mut self, protocol: Protocol) -> Self {
        self.0.extend([protocol.number(), 0, 0, 0]);
        self
    }

    pub(in crate::translate) fn port(mut self, port: u16) -> Self {
        self.0.extend(port.to_be_bytes());
        self.0.extend([0, 0]);
        self
    }

    pub(in crate::translate) fn number(mut self, number: u32) -> Self {
        self.0.extend(number.to_ne_bytes());
        self
    }

    pub(in crate::translate) fn front_end(self, front_end: FrontEnd) -> Self {
        self.address(front_end.address)
            .protocol(front_end.protocol)
            .port(front_end.port)
    }

    pub(in crate::translate) fn socket(self, socket: SocketAddr) -> Self {
        self.address(socket.ip()).port(socket.port())
    }

    pub(in crate::translate) fn bytes(self) -> Box<[u8]> {
        self.0.into()
    }
}

/// The endpoint that an element's data says.
pub(in crate::translate) fn socket(data: &[u8]) -> Option<SocketAddr> {
    let (address, port) = data.split_last_chunk::<4>()?;
    let [high, low, ..] = *port;
    let port = u16::from_be_bytes([high, low]);
    Some(SocketAddr::new(address_of(address)?, port))
}

/// The front end that the key of a set of front ends says.
#[must_use]
pub fn front_end(key: &[u8]) -> Option<FrontEnd> {
    let (rest, port) = key.split_last_chunk::<4>()?;
    let (address, [protocol, ..]) = rest.split_last_chunk::<4>()?;
    let [high, low, ..] = *port;
    Some(FrontEnd {
        address: address_of(address)?,
        protocol: Protocol::from_number(*protocol)?,
        port: u16::from_be_bytes([high, low]),
    })
}

/// The front end and the endpoint that an entry of the affinity memory says.
#[must_use]
pub fn affinity_entry(key: &[u8], data: Option<&[u8]>) -> Option<(FrontEnd, SocketAddr)> {
    // Between the front end's address and its port stands the client's address, of the same length.
    let (addresses, rest) = key.split_at_checked(key.len().checked_sub(8)?)?;
    let (address, _) = addresses.split_at_checked(addresses.len() / 2)?;
    Some((front_end(&[address, rest].concat())?, socket(data?)?))
}

/// The front end and the endpoint that the key of an `affinity-endpoints` set says.
#[must_use]
pub fn affinity_endpoint(key: &[u8]) -> Option<(FrontEnd, SocketAddr)> {
    // Two addresses of the same length, and three fields of 4 bytes.
    let address = key.len().checked_sub(12)? / 2;
    let (front, endpoint) = key.split_at_checked(address + 8)?;
    Some((front_end(front)?, socket(endpoint)?))
}

/// The address that the key of a set of addresses is.
#[must_use]
pub fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    let v6 = <[u8; 16]>::try_from(bytes).map(IpAddr::from);
    v4.or(v6).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_data_lead_back_to_what_they_were_made_of() {
        for address in ["10.233.0.1", "fd00::1"] {
            let address: IpAddr = address.parse().unwrap();
            let endpoint = SocketAddr::new(address, 8080);
            assert_eq!(socket(&Key::new().socket(endpoint).bytes()), Some(endpoint));
            let of = FrontEnd {
                address,
                protocol: Protocol::Sctp,
                port: 65_535,
            };
            assert_eq!(front_end(&Key::new().front_end(of).bytes()), Some(of));
            assert_eq!(front_end(&[0; 3]), None);
        }
    }
}

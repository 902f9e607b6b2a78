//! Local addresses of the network namespace of the calling thread.
//!
//! Read with getifaddrs(3), which asks rtnetlink: a list on demand, without a runtime.

use std::io;
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LocalAddress {
    /// The address.
    pub address: IpAddr,
    /// The interface's name, or the address's label where it has one (`eth0:1`).
    pub interface: String,
}

/// The addresses could not be listed.
#[derive(Debug, thiserror::Error)]
#[error("cannot list the local addresses")]
pub struct LinkError(#[source] io::Error);

/// All addresses of all interfaces, IPv4 and IPv6, whether the interface is up or not.
///
/// # Errors
/// getifaddrs(3) failed.
pub fn local_addresses() -> Result<Vec<LocalAddress>, LinkError> {
    let entries = getifaddrs().map_err(|errno| LinkError(errno.into()))?;
    let address = |entry: nix::ifaddrs::InterfaceAddress| {
        let storage = entry.address?;
        let v4 = storage.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        let v6 = || storage.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip()));
        Some(LocalAddress {
            address: v4.or_else(v6)?,
            interface: entry.interface_name,
        })
    };
    Ok(entries.filter_map(address).collect())
}

//! The Ethernet links of the calling thread's network namespace.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use ipnet::IpNet;
use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;

use super::Mac;

/// An Ethernet link that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EthernetLink {
    /// Its name.
    pub name: String,
    /// Its number.
    pub index: u32,
    /// Its Ethernet address.
    pub mac: Mac,
    /// The networks its addresses are in.
    pub networks: Vec<IpNet>,
}

/// Those that are up, by name.
///
/// # Errors
/// getifaddrs(3) failed.
pub fn ethernet_links() -> io::Result<Vec<EthernetLink>> {
    let entries: Vec<InterfaceAddress> = getifaddrs().map_err(io::Error::from)?.collect();
    let mut links = BTreeMap::new();
    for entry in &entries {
        if let Some(link) = ethernet(entry) {
            links.insert(link.name.clone(), link);
        }
    }
    for entry in &entries {
        // An address may have a label of its own, `eth0:1`.
        let name = entry.interface_name.split(':').next().unwrap_or_default();
        if let (Some(link), Some(network)) = (links.get_mut(name), network(entry)) {
            link.networks.push(network);
        }
    }
    Ok(links.into_values().collect())
}

fn ethernet(entry: &InterfaceAddress) -> Option<EthernetLink> {
    let flags = entry.flags;
    let usable = flags.contains(InterfaceFlags::IFF_UP | InterfaceFlags::IFF_BROADCAST)
        && !flags.intersects(InterfaceFlags::IFF_LOOPBACK | InterfaceFlags::IFF_NOARP);
    let address = entry.address.as_ref()?.as_link_addr()?;
    let mac = address.addr()?;
    (usable && mac != [0; 6]).then_some(EthernetLink {
        name: entry.interface_name.clone(),
        index: u32::try_from(address.ifindex()).ok()?,
        mac,
        networks: Vec::new(),
    })
}

fn network(entry: &InterfaceAddress) -> Option<IpNet> {
    let ip = |storage: &nix::sys::socket::SockaddrStorage| -> Option<IpAddr> {
        let v4 = storage.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| storage.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    };
    let (address, mask) = (ip(entry.address.as_ref()?)?, ip(entry.netmask.as_ref()?)?);
    IpNet::with_netmask(address, mask).ok()
}

//! Numbers of rtnetlink (`include/uapi/linux/rtnetlink.h`, `if_link.h`, `if_addr.h`).

use std::net::IpAddr;

use crate::kernel::netlink::{Attrs, Message};

pub(super) const NEWLINK: u16 = 16;
pub(super) const DELLINK: u16 = 17;
pub(super) const GETLINK: u16 = 18;
pub(super) const NEWADDR: u16 = 20;
pub(super) const DELADDR: u16 = 21;
pub(super) const GETADDR: u16 = 22;

pub(super) const IFLA_IFNAME: u16 = 3;
pub(super) const IFLA_LINKINFO: u16 = 18;
pub(super) const IFLA_INFO_KIND: u16 = 1;

pub(super) const IFA_ADDRESS: u16 = 1;
pub(super) const IFA_LOCAL: u16 = 2;

/// `NLM_F_CREATE | NLM_F_EXCL`.
pub(super) const NEW_ONLY: u16 = 0x600;

/// `RTNLGRP_LINK`, `RTNLGRP_IPV4_IFADDR`, `RTNLGRP_IPV6_IFADDR`.
pub(super) const GROUPS: [u32; 3] = [1, 5, 9];

/// `struct ifinfomsg` of any family with this index.
pub(super) fn ifinfo(index: u32) -> [u8; 16] {
    let [a, b, c, d] = index.to_ne_bytes();
    [0, 0, 0, 0, a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// `struct ifaddrmsg` of a host address.
pub(super) fn ifaddr(address: IpAddr, index: u32) -> [u8; 8] {
    let [a, b, c, d] = index.to_ne_bytes();
    match address {
        IpAddr::V4(_) => [2, 32, 0, 0, a, b, c, d],
        IpAddr::V6(_) => [10, 128, 0, 0, a, b, c, d],
    }
}

/// A link out of a message.
pub(super) struct Link<'a> {
    pub(super) index: u32,
    pub(super) name: &'a str,
    /// `dummy`, `veth`, …; devices of hardware have none.
    pub(super) kind: Option<&'a str>,
}

/// Reads `RTM_NEWLINK` and `RTM_DELLINK`.
pub(super) fn link<'a>(message: &Message<'a>) -> Option<Link<'a>> {
    let (header, attrs) = message.payload.split_first_chunk::<16>()?;
    let [_, _, _, _, a, b, c, d, ..] = *header;
    let attrs = Attrs::new(attrs);
    let info = attrs.clone().find(IFLA_LINKINFO);
    let kind = info.and_then(|info| info.nested().find(IFLA_INFO_KIND));
    Some(Link {
        index: u32::from_ne_bytes([a, b, c, d]),
        name: attrs.find(IFLA_IFNAME)?.text()?,
        kind: kind.and_then(|kind| kind.text()),
    })
}

/// Reads `RTM_NEWADDR` and `RTM_DELADDR`: the address and the index of its link.
pub(super) fn address(message: &Message<'_>) -> Option<(IpAddr, u32)> {
    let (header, attrs) = message.payload.split_first_chunk::<8>()?;
    let [_, _, _, _, a, b, c, d] = *header;
    let attrs = Attrs::new(attrs);
    // The peer's address is IFA_ADDRESS, the own one IFA_LOCAL; IPv6 has only the former.
    let local = attrs.clone().find(IFA_LOCAL);
    let payload = local.or_else(|| attrs.find(IFA_ADDRESS))?.payload;
    let v4 = <[u8; 4]>::try_from(payload).map(IpAddr::from);
    let address = v4.or_else(|_| <[u8; 16]>::try_from(payload).map(IpAddr::from));
    Some((address.ok()?, u32::from_ne_bytes([a, b, c, d])))
}

//! Numbers and forms of ctnetlink messages (`include/uapi/linux/netfilter/nfnetlink_conntrack.h`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::libc;

use super::{Flow, Selection};
use crate::kernel::netlink::{Attr, Attrs, Message, RequestWriter, flags, put_attr, put_nested};
use crate::model::{IpFamily, Protocol};

/// `NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW`: an entry in a dump.
pub(super) const MSG_NEW: u16 = 1 << 8;
const MSG_GET: u16 = (1 << 8) | 1;
const MSG_DELETE: u16 = (1 << 8) | 2;

/// `CTA_*` of a message.
const TUPLE_ORIG: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const STATUS: u16 = 3;
const ID: u16 = 12;
const ZONE: u16 = 18;
const FILTER: u16 = 25;
const STATUS_MASK: u16 = 26;
/// `CTA_FILTER_ORIG_FLAGS`, in host byte order.
const FILTER_ORIG_FLAGS: u16 = 1;

/// `CTA_TUPLE_*`, `CTA_IP_*` and `CTA_PROTO_*`.
const TUPLE_IP: u16 = 1;
const TUPLE_PROTO: u16 = 2;
const IP_V4_SRC: u16 = 1;
const IP_V4_DST: u16 = 2;
const IP_V6_SRC: u16 = 3;
const IP_V6_DST: u16 = 4;
const PROTO_NUM: u16 = 1;
const PROTO_SRC_PORT: u16 = 2;
const PROTO_DST_PORT: u16 = 3;

/// `CTA_FILTER_F_*` of `net/netfilter/nf_internals.h`: which parts of a tuple are compared.
const COMPARE_IP_DST: u32 = 1 << 1;
const COMPARE_PROTO_NUM: u32 = 1 << 3;
const COMPARE_DST_PORT: u32 = 1 << 5;

/// `IPS_SEEN_REPLY` of `include/uapi/linux/netfilter/nf_conntrack_common.h`.
const SEEN_REPLY: u32 = 1 << 1;

fn family_number(family: IpFamily) -> u8 {
    let number = match family {
        IpFamily::V4 => libc::AF_INET,
        IpFamily::V6 => libc::AF_INET6,
    };
    u8::try_from(number).unwrap_or_default()
}

/// A request for the entries of a selection, or for a few more: see [`Selection::contains`].
pub(super) fn dump(selection: &Selection, seq: u32) -> Vec<u8> {
    let family = family_number(selection.family);
    let mut compared = COMPARE_PROTO_NUM;
    let port = selection.destination.map(|(_, port)| port);
    if port.is_some() {
        compared |= COMPARE_DST_PORT;
    }
    // ctnetlink_filter_match_tuple() leaves out just those IPv6 flows whose address is equal.
    let v4 = match selection.destination {
        Some((Some(IpAddr::V4(v4)), _)) => Some(v4),
        _ => None,
    };
    if v4.is_some() {
        compared |= COMPARE_IP_DST;
    }
    let request = RequestWriter::new(MSG_GET, flags::DUMP, seq, family, 0)
        .nested(TUPLE_ORIG, |tuple| {
            if let Some(v4) = v4 {
                put_nested(tuple, TUPLE_IP, |ip| put_attr(ip, IP_V4_DST, &v4.octets()));
            }
            put_nested(tuple, TUPLE_PROTO, |proto| {
                put_attr(proto, PROTO_NUM, &[selection.protocol.number()]);
                if let Some(port) = port {
                    put_attr(proto, PROTO_DST_PORT, &port.to_be_bytes());
                }
            });
        })
        .nested(FILTER, |filter| {
            put_attr(filter, FILTER_ORIG_FLAGS, &compared.to_ne_bytes());
        });
    if selection.unreplied {
        request
            .u32_be(STATUS, 0)
            .u32_be(STATUS_MASK, SEEN_REPLY)
            .finish()
    } else {
        request.finish()
    }
}

/// A request to remove this one entry.
pub(super) fn delete(flow: &Flow, flags: u16, seq: u32) -> Vec<u8> {
    let family = family_number(IpFamily::of(flow.destination.ip()));
    RequestWriter::new(MSG_DELETE, flags, seq, family, 0)
        .nested(TUPLE_ORIG, |tuple| {
            put_nested(tuple, TUPLE_IP, |ip| {
                put_ip(ip, flow.source.ip(), [IP_V4_SRC, IP_V6_SRC]);
                put_ip(ip, flow.destination.ip(), [IP_V4_DST, IP_V6_DST]);
            });
            put_nested(tuple, TUPLE_PROTO, |proto| {
                put_attr(proto, PROTO_NUM, &[flow.protocol.number()]);
                put_attr(proto, PROTO_SRC_PORT, &flow.source.port().to_be_bytes());
                let port = flow.destination.port();
                put_attr(proto, PROTO_DST_PORT, &port.to_be_bytes());
            });
        })
        .u32_be(ID, flow.id)
        .finish()
}

fn put_ip(bytes: &mut Vec<u8>, ip: IpAddr, [v4_kind, v6_kind]: [u16; 2]) {
    match ip {
        IpAddr::V4(v4) => put_attr(bytes, v4_kind, &v4.octets()),
        IpAddr::V6(v6) => put_attr(bytes, v6_kind, &v6.octets()),
    }
}

/// Reads an entry. `None` for what no Service has: other protocols, and other zones than that of
/// every packet that nobody gave another.
pub(super) fn flow(message: &Message<'_>) -> Option<Flow> {
    let mut original = None;
    let mut reply = None;
    let mut status = 0;
    let mut id = None;
    for attr in message.attrs() {
        match attr.kind {
            TUPLE_ORIG => original = tuple(&attr),
            TUPLE_REPLY => reply = tuple(&attr),
            STATUS => status = attr.u32_be()?,
            ID => id = attr.u32_be(),
            ZONE => return None,
            _ => {}
        }
    }
    let (protocol, source, destination) = original?;
    let (_, replies_from, _) = reply?;
    Some(Flow {
        protocol,
        source,
        destination,
        replies_from,
        replied: status & SEEN_REPLY != 0,
        id: id?,
    })
}

/// The protocol number of any entry.
pub(super) fn protocol_number(message: &Message<'_>) -> Option<u8> {
    let tuple = message.attrs().find(TUPLE_ORIG)?;
    let proto = tuple.nested().find(TUPLE_PROTO)?;
    proto.nested().find(PROTO_NUM)?.payload.first().copied()
}

/// Protocol, source and destination.
fn tuple(attr: &Attr<'_>) -> Option<(Protocol, SocketAddr, SocketAddr)> {
    let ip = attr.nested().find(TUPLE_IP)?;
    let proto = attr.nested().find(TUPLE_PROTO)?;
    let number = *proto.nested().find(PROTO_NUM)?.payload.first()?;
    let protocols = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    let protocol = protocols.into_iter().find(|p| p.number() == number)?;
    let port = |kind| {
        let bytes = proto.nested().find(kind)?.payload;
        bytes.try_into().ok().map(u16::from_be_bytes)
    };
    let source = address(ip.nested(), [IP_V4_SRC, IP_V6_SRC])?;
    let destination = address(ip.nested(), [IP_V4_DST, IP_V6_DST])?;
    Some((
        protocol,
        SocketAddr::new(source, port(PROTO_SRC_PORT)?),
        SocketAddr::new(destination, port(PROTO_DST_PORT)?),
    ))
}

fn address(mut attrs: Attrs<'_>, [v4_kind, v6_kind]: [u16; 2]) -> Option<IpAddr> {
    let attr = Iterator::find(&mut attrs, |attr| [v4_kind, v6_kind].contains(&attr.kind))?;
    if attr.kind == v4_kind {
        let octets: [u8; 4] = attr.payload.try_into().ok()?;
        Some(Ipv4Addr::from(octets).into())
    } else {
        let octets: [u8; 16] = attr.payload.try_into().ok()?;
        Some(Ipv6Addr::from(octets).into())
    }
}

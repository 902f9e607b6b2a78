//! The conditions iptables writes before all matches: interface, protocol, addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::Cursor;
use crate::model::{IpFamily, Protocol};
use crate::plan::expr::{Expr, PayloadBase, REG_1};
use crate::plan::xtables::encode::{META_IIFNAME, META_L4PROTO, address_place, octets};
use crate::plan::xtables::rule::{InterfaceMatch, Maybe, XtRule};

/// `IFNAMSIZ`, with the closing NUL.
const IFNAMSIZ: usize = 16;
/// Where the IPv4 header has the protocol (RFC 791).
const IPV4_PROTOCOL: u32 = 9;

/// Reads one condition into `rule`. `Some(false)` when the next expression is none, `None` when it
/// is not one of ours or the second of its kind.
pub(super) fn condition(
    exprs: &mut Cursor<'_>,
    family: IpFamily,
    rule: &mut XtRule,
) -> Option<bool> {
    let place = address_place(family);
    match *exprs.peek()? {
        Expr::Meta {
            key: META_IIFNAME,
            dreg: REG_1,
        } => {
            exprs.next();
            once(&mut rule.in_interface, interface(exprs)?)
        }
        Expr::Meta {
            key: META_L4PROTO,
            dreg: REG_1,
        } => {
            exprs.next();
            once(&mut rule.protocol, protocol(exprs)?)
        }
        Expr::Payload {
            base: PayloadBase::Network,
            offset,
            len,
            dreg: REG_1,
        } => {
            exprs.next();
            if offset == place.source {
                once(&mut rule.source, prefix(exprs, len, family)?)
            } else if offset == place.destination {
                once(&mut rule.destination, prefix(exprs, len, family)?)
            } else if family == IpFamily::V4 && offset == IPV4_PROTOCOL && len == 1 {
                once(&mut rule.protocol, protocol(exprs)?)
            } else {
                None
            }
        }
        _ => Some(false),
    }
}

/// Fills a place that must be empty.
fn once<T>(place: &mut Option<T>, value: T) -> Option<bool> {
    place.replace(value).is_none().then_some(true)
}

fn interface(exprs: &mut Cursor<'_>) -> Option<Maybe<InterfaceMatch>> {
    let (not, data) = exprs.comparison()?;
    let end = data.iter().position(|b| *b == 0);
    let (name, padding) = data.split_at(end.unwrap_or(data.len()));
    let clean = !name.is_empty() && data.len() <= IFNAMSIZ && padding.iter().all(|b| *b == 0);
    let name = std::str::from_utf8(name).ok()?;
    clean.then(|| Maybe {
        not,
        value: InterfaceMatch {
            name: name.into(),
            prefix: end.is_none(),
        },
    })
}

fn protocol(exprs: &mut Cursor<'_>) -> Option<Protocol> {
    match exprs.comparison()? {
        (false, &[number]) => Protocol::from_number(number),
        _ => None,
    }
}

fn prefix(exprs: &mut Cursor<'_>, len: u32, family: IpFamily) -> Option<Maybe<IpNet>> {
    let full = address_place(family).len;
    let bits = match exprs.mask() {
        None => (1..=full).contains(&len).then(|| len.checked_mul(8))??,
        Some(mask) if len == full => prefix_bits(mask, family)?,
        Some(_) => return None,
    };
    let (not, data) = exprs.comparison()?;
    if data.len() != len as usize || (bits == 0 && !not) {
        return None;
    }
    let net = IpNet::new(address(data, family), u8::try_from(bits).ok()?).ok()?;
    // Bits beyond the mask never compare equal: such a rule is not the prefix it looks like.
    (net == net.trunc()).then_some(Maybe { not, value: net })
}

/// The length of a contiguous mask.
fn prefix_bits(mask: &[u8], family: IpFamily) -> Option<u32> {
    let bits = mask.iter().map(|b| b.leading_ones()).sum::<u32>();
    let net = IpNet::new(address(&[], family), u8::try_from(bits).ok()?).ok()?;
    (octets(net.netmask()) == mask).then_some(bits)
}

/// The address that begins with these bytes.
fn address(data: &[u8], family: IpFamily) -> IpAddr {
    fn padded<const N: usize>(data: &[u8]) -> [u8; N] {
        let mut octets = [0; N];
        for (to, from) in octets.iter_mut().zip(data) {
            *to = *from;
        }
        octets
    }
    match family {
        IpFamily::V4 => Ipv4Addr::from(padded::<4>(data)).into(),
        IpFamily::V6 => Ipv6Addr::from(padded::<16>(data)).into(),
    }
}

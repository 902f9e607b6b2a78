//! xtables matches and targets: each is guessed from a few bytes, built anew and accepted only if
//! it comes out the same to the last byte.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::model::{IpFamily, Protocol};
use crate::plan::xtables::info::{self, Extension};
use crate::plan::xtables::rule::{CtStates, Maybe, RecentOp, XtMatch, XtTarget};

/// A match of ours.
pub(super) fn match_(
    name: &str,
    rev: u32,
    info: &[u8],
    protocol: Option<Protocol>,
    family: IpFamily,
) -> Option<XtMatch> {
    let found = match name {
        "comment" => XtMatch::Comment(text(info, 0, info::COMMENT_LEN)?.into()),
        "tcp" | "udp" | "sctp" => return ports(name, rev, info, protocol?),
        "mark" => XtMatch::Mark {
            value: u32_at(info, 0)?,
            mask: u32_at(info, 4)?,
            not: *info.get(8)? == 1,
        },
        "conntrack" => XtMatch::Conntrack(Maybe {
            not: u16_at(info, 148)? == 1,
            value: CtStates(u16_at(info, 150)?),
        }),
        "addrtype" if u16_at(info, 0)? == 0 => XtMatch::DestinationIsLocal,
        "addrtype" => XtMatch::SourceIsLocal,
        "statistic" => XtMatch::Random {
            threshold: u32_at(info, 4)?,
        },
        "recent" => XtMatch::Recent {
            op: if *info.get(8)? & info::RECENT_SET == 0 {
                RecentOp::CheckAndReap {
                    seconds: u32_at(info, 0)?,
                }
            } else {
                RecentOp::Set
            },
            list: text(info, info::RECENT_NAME_AT, info::RECENT_NAME_LEN)?.into(),
        },
        "nfacct" => XtMatch::Nfacct(text(info, 0, info::NFACCT_NAME_LEN)?.into()),
        _ => return None,
    };
    forms(&found, family)
        .iter()
        .any(|form| same(form, name, rev, info))
        .then_some(found)
}

/// The structures a match may come in.
fn forms(m: &XtMatch, family: IpFamily) -> Vec<Extension> {
    match m {
        XtMatch::Comment(text) => vec![info::comment(text)],
        XtMatch::Ports { .. } => Vec::new(),
        XtMatch::Mark { value, mask, not } => vec![info::mark_match(*value, *mask, *not)],
        XtMatch::Conntrack(states) => vec![info::conntrack(states)],
        XtMatch::SourceIsLocal => vec![info::source_is_local()],
        XtMatch::DestinationIsLocal => vec![info::destination_is_local()],
        XtMatch::Random { threshold } => {
            vec![
                info::random(*threshold, *threshold),
                info::random(*threshold, 0),
            ]
        }
        XtMatch::Recent { op, list } => [
            info::RECENT_WHOLE_MASK,
            usize::from(family.host_prefix() / 8),
        ]
        .into_iter()
        .map(|mask| info::recent(*op, list, mask))
        .collect(),
        XtMatch::Nfacct(name) => vec![info::nfacct(name, 1), info::nfacct(name, 0)],
    }
}

fn ports(name: &str, rev: u32, info: &[u8], protocol: Protocol) -> Option<XtMatch> {
    if name != protocol.lower() {
        return None;
    }
    let at = if protocol == Protocol::Sctp { 0 } else { 4 };
    [None, Some(u16_at(info, at)?)]
        .into_iter()
        .find(|dport| {
            let bare_sctp =
                protocol == Protocol::Sctp && same(&info::sctp(*dport, false), name, rev, info);
            bare_sctp || same(&info::ports(protocol, *dport), name, rev, info)
        })
        .map(|dport| XtMatch::Ports { dport })
}

/// A target of ours.
pub(super) fn target(name: &str, rev: u32, info: &[u8], family: IpFamily) -> Option<XtTarget> {
    let (found, form) = match name {
        "REJECT" => (XtTarget::Reject, info::reject(family)),
        "MARK" => {
            let (value, mask) = (u32_at(info, 0)?, u32_at(info, 4)?);
            (XtTarget::Mark { value, mask }, info::set_mark(value, mask))
        }
        "MASQUERADE" => {
            let plain = info::masquerade(false, family);
            let random_fully = *plain.info != *info;
            (
                XtTarget::Masquerade { random_fully },
                info::masquerade(random_fully, family),
            )
        }
        "DNAT" => {
            let to = SocketAddr::new(address_at(info, 4, family)?, port_at(info, 36)?);
            (XtTarget::Dnat(to), info::dnat(to))
        }
        _ => return None,
    };
    same(&form, name, rev, info).then_some(found)
}

fn same(form: &Extension, name: &str, rev: u32, info: &[u8]) -> bool {
    form.name == name && form.rev == rev && *form.info == *info
}

fn array_at<const N: usize>(info: &[u8], at: usize) -> Option<[u8; N]> {
    info.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u16_at(info: &[u8], at: usize) -> Option<u16> {
    array_at(info, at).map(u16::from_ne_bytes)
}

fn u32_at(info: &[u8], at: usize) -> Option<u32> {
    array_at(info, at).map(u32::from_ne_bytes)
}

/// A port in network byte order.
fn port_at(info: &[u8], at: usize) -> Option<u16> {
    array_at(info, at).map(u16::from_be_bytes)
}

fn address_at(info: &[u8], at: usize, family: IpFamily) -> Option<IpAddr> {
    Some(match family {
        IpFamily::V4 => Ipv4Addr::from(array_at::<4>(info, at)?).into(),
        IpFamily::V6 => Ipv6Addr::from(array_at::<16>(info, at)?).into(),
    })
}

/// The text up to the NUL of a field.
fn text(info: &[u8], at: usize, len: usize) -> Option<&str> {
    let field = info.get(at..at.checked_add(len)?)?;
    let end = field.iter().position(|b| *b == 0)?;
    std::str::from_utf8(field.get(..end)?).ok()
}

//! Rules into nf_tables expressions, exactly as iptables-nft 1.8.9 writes them.
//!
//! The order is iptables' own: interface, protocol, source, destination, matches in command-line
//! order, counter, target. Native expressions are used where iptables lists them correctly
//! (interface, addresses, protocol, TCP and UDP ports, mark, verdicts), xtables extensions for the
//! rest: any other native form makes `iptables` lose the rule or refuse the whole table.

use std::borrow::Cow;
use std::net::IpAddr;

use ipnet::IpNet;

use super::info::{self, Extension};
use super::rule::{InterfaceMatch, Maybe, XtMatch, XtRule, XtTarget};
use crate::model::{IpFamily, Protocol};
use crate::plan::expr::{CmpOp, Expr, PayloadBase, REG_1, RuleBody, Verdict};

/// `NFT_META_MARK`.
pub(super) const META_MARK: u32 = 3;
/// `NFT_META_IIFNAME`.
pub(super) const META_IIFNAME: u32 = 6;
/// `NFT_META_L4PROTO`.
pub(super) const META_L4PROTO: u32 = 16;
/// Where TCP, UDP and SCTP have the destination port.
pub(super) const DPORT_OFFSET: u32 = 2;

/// Where a family's header has its addresses, and how long they are.
pub(super) struct AddressPlace {
    pub(super) source: u32,
    pub(super) destination: u32,
    pub(super) len: u32,
}

/// The address fields of the IP headers (RFC 791, RFC 8200).
pub(super) fn address_place(family: IpFamily) -> AddressPlace {
    match family {
        IpFamily::V4 => AddressPlace {
            source: 12,
            destination: 16,
            len: 4,
        },
        IpFamily::V6 => AddressPlace {
            source: 8,
            destination: 24,
            len: 16,
        },
    }
}

/// The rule as the kernel can tell it: host bits of prefixes cleared, conditions that are always
/// true (`-s 0.0.0.0/0`, `-i +`) left out, as iptables does, and comments cut at 255 bytes.
///
/// `encode(r) == encode(canonical(r))`, and it is the canonical rule that comes back from
/// [`super::decode::decode`].
#[must_use]
pub fn canonical(rule: &XtRule) -> Cow<'_, XtRule> {
    let plain_prefix = |p: &Option<Maybe<IpNet>>| {
        p.as_ref()
            .is_none_or(|p| p.value == p.value.trunc() && (p.not || p.value.prefix_len() > 0))
    };
    let plain_interface = rule
        .in_interface
        .as_ref()
        .is_none_or(|i| i.not || !is_any(&i.value));
    let plain_comments = rule.matches.iter().all(|m| match m {
        XtMatch::Comment(text) => text.len() < info::COMMENT_LEN,
        _ => true,
    });
    if plain_prefix(&rule.source)
        && plain_prefix(&rule.destination)
        && plain_interface
        && plain_comments
    {
        return Cow::Borrowed(rule);
    }
    let prefix = |p: Option<Maybe<IpNet>>| {
        p.map(|p| Maybe {
            not: p.not,
            value: p.value.trunc(),
        })
        .filter(|p| p.not || p.value.prefix_len() > 0)
    };
    let mut rule = rule.clone();
    rule.source = prefix(rule.source);
    rule.destination = prefix(rule.destination);
    rule.in_interface = rule.in_interface.filter(|i| i.not || !is_any(&i.value));
    for m in &mut rule.matches {
        if let XtMatch::Comment(text) = m {
            *text = info::cut(text, info::COMMENT_LEN - 1).into();
        }
    }
    Cow::Owned(rule)
}

fn is_any(interface: &InterfaceMatch) -> bool {
    interface.prefix && interface.name.is_empty()
}

/// Writes a rule of the family `family` in expressions.
///
/// The rule's addresses must be of that family and a port match needs a protocol, which
/// `translate` sees to; there is no expression for anything else.
#[must_use]
pub fn encode(rule: &XtRule, family: IpFamily) -> RuleBody {
    let rule = canonical(rule);
    let place = address_place(family);
    let mut exprs = Vec::with_capacity(12);
    if let Some(interface) = &rule.in_interface {
        interface_exprs(interface, &mut exprs);
    }
    if let Some(protocol) = rule.protocol {
        exprs.push(Expr::Meta {
            key: META_L4PROTO,
            dreg: REG_1,
        });
        exprs.push(cmp(false, &[protocol.number()]));
    }
    if let Some(source) = &rule.source {
        prefix_exprs(source, place.source, place.len, &mut exprs);
    }
    if let Some(destination) = &rule.destination {
        prefix_exprs(destination, place.destination, place.len, &mut exprs);
    }
    for m in &rule.matches {
        match_exprs(m, rule.protocol, &mut exprs);
    }
    exprs.push(Expr::Counter);
    exprs.extend(rule.target.as_ref().map(|t| target_expr(t, family)));
    RuleBody {
        exprs,
        compat: rule.protocol.map(|p| (p.number().into(), 0)),
        userdata: Box::default(),
    }
}

/// A comparison of register 1.
fn cmp(not: bool, data: &[u8]) -> Expr {
    let op = if not { CmpOp::Neq } else { CmpOp::Eq };
    Expr::Cmp {
        sreg: REG_1,
        op,
        data: data.into(),
    }
}

fn mask_exprs(mask: &[u8]) -> Expr {
    Expr::Bitwise {
        sreg: REG_1,
        dreg: REG_1,
        mask: mask.into(),
        xor: vec![0; mask.len()].into_boxed_slice(),
    }
}

/// The whole name is compared with its closing NUL, a prefix without.
fn interface_exprs(interface: &Maybe<InterfaceMatch>, exprs: &mut Vec<Expr>) {
    let mut data = interface.value.name.as_bytes().to_vec();
    if !interface.value.prefix {
        data.push(0);
    }
    exprs.push(Expr::Meta {
        key: META_IIFNAME,
        dreg: REG_1,
    });
    exprs.push(cmp(interface.not, &data));
}

/// Whole bytes of a prefix are loaded and compared alone; other prefixes need a mask.
fn prefix_exprs(prefix: &Maybe<IpNet>, offset: u32, len: u32, exprs: &mut Vec<Expr>) {
    let bits = u32::from(prefix.value.prefix_len());
    let short = bits > 0 && bits.is_multiple_of(8);
    let len = if short { bits / 8 } else { len };
    let network = octets(prefix.value.network());
    let data: Vec<u8> = network.into_iter().take(len as usize).collect();
    exprs.push(Expr::Payload {
        base: PayloadBase::Network,
        offset,
        len,
        dreg: REG_1,
    });
    if !short {
        exprs.push(mask_exprs(&octets(prefix.value.netmask())));
    }
    exprs.push(cmp(prefix.not, &data));
}

/// An address in network byte order.
pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

fn match_exprs(m: &XtMatch, protocol: Option<Protocol>, exprs: &mut Vec<Expr>) {
    let extension = match m {
        XtMatch::Comment(text) => info::comment(text),
        XtMatch::Ports { dport } => return port_exprs(*dport, protocol, exprs),
        XtMatch::Mark { value, mask, not } => {
            exprs.push(Expr::Meta {
                key: META_MARK,
                dreg: REG_1,
            });
            if *mask != u32::MAX {
                exprs.push(mask_exprs(&mask.to_ne_bytes()));
            }
            exprs.push(cmp(*not, &value.to_ne_bytes()));
            return;
        }
        XtMatch::Conntrack(states) => info::conntrack(states),
        XtMatch::SourceIsLocal => info::source_is_local(),
        XtMatch::DestinationIsLocal => info::destination_is_local(),
        XtMatch::Random { threshold } => info::random(*threshold, *threshold),
        XtMatch::Recent { op, list } => info::recent(*op, list, info::RECENT_WHOLE_MASK),
        XtMatch::Nfacct(name) => info::nfacct(name, 1),
    };
    exprs.push(xt_match(extension));
}

/// A TCP or UDP port is compared natively; a bare `-m tcp`, and SCTP always, is an extension.
fn port_exprs(dport: Option<u16>, protocol: Option<Protocol>, exprs: &mut Vec<Expr>) {
    debug_assert!(protocol.is_some(), "a port match without a protocol");
    match (protocol, dport) {
        (Some(protocol @ Protocol::Sctp), dport) | (Some(protocol), dport @ None) => {
            exprs.push(xt_match(info::ports(protocol, dport)));
        }
        (_, Some(port)) => {
            let base = PayloadBase::Transport;
            exprs.push(Expr::Payload {
                base,
                offset: DPORT_OFFSET,
                len: 2,
                dreg: REG_1,
            });
            exprs.push(cmp(false, &port.to_be_bytes()));
        }
        (None, None) => {}
    }
}

fn target_expr(target: &XtTarget, family: IpFamily) -> Expr {
    let extension = match target {
        XtTarget::Jump(chain) => return Expr::Verdict(Verdict::Jump(chain.as_ref().into())),
        XtTarget::Return => return Expr::Verdict(Verdict::Return),
        XtTarget::Accept => return Expr::Verdict(Verdict::Accept),
        XtTarget::Drop => return Expr::Verdict(Verdict::Drop),
        XtTarget::Reject => info::reject(family),
        XtTarget::Mark { value, mask } => info::set_mark(*value, *mask),
        XtTarget::Masquerade { random_fully } => info::masquerade(*random_fully, family),
        XtTarget::Dnat(to) => info::dnat(*to),
    };
    let Extension { name, rev, info } = extension;
    Expr::Target {
        name: name.into(),
        rev,
        info,
    }
}

fn xt_match(extension: Extension) -> Expr {
    let Extension { name, rev, info } = extension;
    Expr::Match {
        name: name.into(),
        rev,
        info,
    }
}

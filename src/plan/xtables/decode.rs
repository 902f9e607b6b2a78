//! Expressions back into rules.
//!
//! Reads what [`super::encode`] and iptables write, and the few other encodings that mean the same
//! to the kernel *and* print the same in `iptables-save` 1.8.9:
//!
//! * a whole-byte prefix as a full load with a mask (iptables before 1.8.6);
//! * an interface name padded to 16 bytes (nft);
//! * `ip protocol` in place of `meta l4proto`, IPv4 only;
//! * a single destination port as an xtables `tcp`, `udp` match, a mark as xtables `mark` rev 1;
//! * `nfacct` rev 0, which has the layout of rev 1 on 64-bit machines;
//! * a comment in the rule's user data, which is shown after all other matches.
//!
//! Anything else is [`Decoded::Foreign`]: an expression, order, revision or byte that is not
//! accounted for never decodes to a rule of ours. The counter's values and, as the kernel does not
//! report it, a missing `NFTA_RULE_COMPAT` make no difference. Bytes that the kernel does not look
//! at may differ in three places, where versions of iptables or its save and restore differ:
//! `count` of a random `statistic` match may be zero, so may the four `chunktype` of an `sctp`
//! match and, in IPv4, the last 12 bytes of the mask of a `recent` match.

mod extension;
mod header;

use super::rule::{XtMatch, XtRule, XtTarget};
use crate::model::{IpFamily, Protocol};
use crate::plan::expr::{CmpOp, Expr, PayloadBase, REG_1, RuleBody, Verdict};

use super::encode::{DPORT_OFFSET, META_MARK};

/// What a kernel rule is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A rule of our vocabulary, in the form [`super::encode::canonical`] gives.
    Rule(XtRule),
    /// Somebody else's, or one we cannot vouch for.
    Foreign,
}

/// Reads a kernel rule of the family `family`.
#[must_use]
pub fn decode(body: &RuleBody, family: IpFamily) -> Decoded {
    rule(body, family).map_or(Decoded::Foreign, Decoded::Rule)
}

fn rule(body: &RuleBody, family: IpFamily) -> Option<XtRule> {
    let mut exprs = Cursor(&body.exprs);
    let mut rule = XtRule::default();
    while header::condition(&mut exprs, family, &mut rule)? {}
    while let Some(m) = match_(&mut exprs, rule.protocol, family)? {
        rule.matches.push(m);
    }
    if *exprs.next()? != Expr::Counter {
        return None;
    }
    rule.target = match exprs.next() {
        None => None,
        Some(last) => Some(target(last, family)?),
    };
    let comment = comment(&body.userdata)?;
    rule.matches.extend(comment);
    let compat = rule.protocol.map(|p| (u32::from(p.number()), 0));
    let complete = exprs.0.is_empty() && (body.compat.is_none() || body.compat == compat);
    complete.then_some(rule)
}

/// The expressions not read yet.
struct Cursor<'a>(&'a [Expr]);

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<&'a Expr> {
        self.0.first()
    }

    fn next(&mut self) -> Option<&'a Expr> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// An equal or unequal comparison of register 1: whether it is unequal, and the data.
    fn comparison(&mut self) -> Option<(bool, &'a [u8])> {
        match self.next()? {
            Expr::Cmp {
                sreg: REG_1,
                op: CmpOp::Eq,
                data,
            } => Some((false, data)),
            Expr::Cmp {
                sreg: REG_1,
                op: CmpOp::Neq,
                data,
            } => Some((true, data)),
            _ => None,
        }
    }

    /// A mask on register 1, if one comes next.
    fn mask(&mut self) -> Option<&'a [u8]> {
        match self.peek()? {
            Expr::Bitwise {
                sreg: REG_1,
                dreg: REG_1,
                mask,
                xor,
            } if xor.len() == mask.len() && xor.iter().all(|b| *b == 0) => {
                self.next();
                Some(mask)
            }
            _ => None,
        }
    }
}

/// The next match. `Some(None)` when the matches are over, `None` when it is not one of ours.
fn match_(
    exprs: &mut Cursor<'_>,
    protocol: Option<Protocol>,
    family: IpFamily,
) -> Option<Option<XtMatch>> {
    let found = match exprs.peek()? {
        Expr::Match { name, rev, info } => {
            exprs.next();
            extension::match_(name, *rev, info, protocol, family)?
        }
        Expr::Payload {
            base: PayloadBase::Transport,
            offset: DPORT_OFFSET,
            len: 2,
            dreg: REG_1,
        } => {
            exprs.next();
            native_port(exprs, protocol)?
        }
        Expr::Meta {
            key: META_MARK,
            dreg: REG_1,
        } => {
            exprs.next();
            native_mark(exprs)?
        }
        _ => return Some(None),
    };
    Some(Some(found))
}

/// A native SCTP port means the same as ours, but `iptables` 1.8.9 cannot list such a rule: it
/// has to be replaced, so it must not compare equal.
fn native_port(exprs: &mut Cursor<'_>, protocol: Option<Protocol>) -> Option<XtMatch> {
    let (not, data) = exprs.comparison()?;
    let known = matches!(protocol, Some(Protocol::Tcp | Protocol::Udp)) && !not;
    let dport = Some(u16::from_be_bytes(data.try_into().ok()?));
    known.then_some(XtMatch::Ports { dport })
}

fn native_mark(exprs: &mut Cursor<'_>) -> Option<XtMatch> {
    let mask = match exprs.mask() {
        None => u32::MAX,
        Some(mask) => u32::from_ne_bytes(mask.try_into().ok()?),
    };
    let (not, data) = exprs.comparison()?;
    let value = u32::from_ne_bytes(data.try_into().ok()?);
    Some(XtMatch::Mark { value, mask, not })
}

fn target(expr: &Expr, family: IpFamily) -> Option<XtTarget> {
    match expr {
        Expr::Verdict(Verdict::Accept) => Some(XtTarget::Accept),
        Expr::Verdict(Verdict::Drop) => Some(XtTarget::Drop),
        Expr::Verdict(Verdict::Return) => Some(XtTarget::Return),
        Expr::Verdict(Verdict::Jump(chain)) => Some(XtTarget::Jump(chain.as_ref().into())),
        Expr::Target { name, rev, info } => extension::target(name, *rev, info, family),
        _ => None,
    }
}

/// `NFTNL_UDATA_RULE_COMMENT` (libnftnl's `udata.h`): type 0, a length, the text and its NUL.
/// `Some(None)` without user data, `None` when it is something else.
fn comment(userdata: &[u8]) -> Option<Option<XtMatch>> {
    match userdata {
        [] => Some(None),
        [0, len, text @ .., 0] if usize::from(*len) == text.len() + 1 && !text.contains(&0) => {
            let text = std::str::from_utf8(text).ok()?;
            Some(Some(XtMatch::Comment(text.into())))
        }
        _ => None,
    }
}

//! Expressions out of netlink attributes, the reverse of [`super::encode_expr`].
//!
//! Whatever does not fit the vocabulary of [`crate::plan::expr`] exactly becomes [`Expr::Other`],
//! so that nothing of a foreign rule is lost and none is taken for one of ours.

use super::decode_native;
use super::wire::{self, verdict};
use crate::kernel::netlink::{Attr, Attrs};
use crate::plan::expr::{CmpOp, Expr, PayloadBase, REG_VERDICT, RuleBody, Verdict};

/// A rule's content out of its attributes.
pub(super) fn rule_body(attrs: &Attrs<'_>) -> RuleBody {
    let mut body = RuleBody::default();
    for attr in attrs.clone() {
        match attr.kind {
            wire::rule::EXPRESSIONS => body.exprs.extend(attr.nested().map(|e| expr(&e))),
            wire::rule::USERDATA => body.userdata = attr.payload.into(),
            wire::rule::COMPAT => body.compat = compat(&attr),
            _ => {}
        }
    }
    body
}

fn compat(attr: &Attr<'_>) -> Option<(u32, u32)> {
    let number = |kind| attr.nested().find(kind)?.u32_be();
    Some((
        number(wire::rule::COMPAT_PROTO)?,
        number(wire::rule::COMPAT_FLAGS)?,
    ))
}

/// One element of `NFTA_RULE_EXPRESSIONS`.
fn expr(element: &Attr<'_>) -> Expr {
    let mut name = "";
    let mut data = None;
    for attr in element.nested() {
        match attr.kind {
            wire::expr::NAME => name = attr.text().unwrap_or_default(),
            wire::expr::DATA => data = Some(attr),
            _ => {}
        }
    }
    let fields = data.map_or_else(Fields::default, |data| Fields::read(data.nested()));
    let known = match name {
        "meta" => meta(&fields),
        "payload" => payload(&fields),
        "cmp" => cmp(&fields),
        "range" => range(&fields),
        "bitwise" => bitwise(&fields),
        "counter" => Some(Expr::Counter),
        "immediate" => immediate(&fields),
        "match" => extension(&fields).map(|(name, rev, info)| Expr::Match { name, rev, info }),
        "target" => extension(&fields).map(|(name, rev, info)| Expr::Target { name, rev, info }),
        _ => decode_native::expr(name, &fields),
    };
    known.unwrap_or_else(|| Expr::Other {
        name: name.into(),
        data: data.map_or_else(Box::default, |data| data.payload.into()),
    })
}

/// The attributes of one expression by type, found once.
#[derive(Default)]
pub(super) struct Fields<'a>([Option<Attr<'a>>; 11]);

impl<'a> Fields<'a> {
    fn read(attrs: Attrs<'a>) -> Self {
        let mut fields = Self::default();
        for attr in attrs {
            if let Some(slot) = fields.0.get_mut(usize::from(attr.kind)) {
                *slot = Some(attr);
            }
        }
        fields
    }

    pub(super) fn get(&self, kind: usize) -> Option<&Attr<'a>> {
        self.0.get(kind)?.as_ref()
    }

    pub(super) fn number(&self, kind: usize) -> Option<u32> {
        self.get(kind)?.u32_be()
    }

    /// `NFTA_DATA_VALUE` inside an attribute.
    fn value(&self, kind: usize) -> Option<Box<[u8]>> {
        let value = self.get(kind)?.nested().find(wire::expr::VALUE)?;
        Some(value.payload.into())
    }
}

/// `NFTA_META_*`: 1 dreg, 2 key, 3 sreg; it has one register or the other.
fn meta(fields: &Fields<'_>) -> Option<Expr> {
    if let Some(sreg) = fields.number(3) {
        let key = fields.number(2)?;
        return Some(Expr::MetaSet { key, sreg });
    }
    Some(Expr::Meta {
        dreg: fields.number(1)?,
        key: fields.number(2)?,
    })
}

/// `NFTA_PAYLOAD_*`: 1 dreg, 2 base, 3 offset, 4 len.
fn payload(fields: &Fields<'_>) -> Option<Expr> {
    Some(Expr::Payload {
        dreg: fields.number(1)?,
        base: match fields.number(2)? {
            0 => PayloadBase::LinkLayer,
            1 => PayloadBase::Network,
            2 => PayloadBase::Transport,
            _ => return None,
        },
        offset: fields.number(3)?,
        len: fields.number(4)?,
    })
}

/// `NFTA_CMP_*`: 1 sreg, 2 op, 3 data.
fn cmp(fields: &Fields<'_>) -> Option<Expr> {
    Some(Expr::Cmp {
        sreg: fields.number(1)?,
        op: cmp_op(fields.number(2)?)?,
        data: fields.value(3)?,
    })
}

/// `NFTA_RANGE_*`: 1 sreg, 2 op, 3 from, 4 to.
fn range(fields: &Fields<'_>) -> Option<Expr> {
    Some(Expr::Range {
        sreg: fields.number(1)?,
        op: cmp_op(fields.number(2)?)?,
        from: fields.value(3)?,
        to: fields.value(4)?,
    })
}

/// `NFTA_BITWISE_*`: 1 sreg, 2 dreg, 3 len, 4 mask, 5 xor, 6 op (0 boolean, the default).
fn bitwise(fields: &Fields<'_>) -> Option<Expr> {
    if fields.number(6).unwrap_or(0) != 0 {
        return None;
    }
    Some(Expr::Bitwise {
        sreg: fields.number(1)?,
        dreg: fields.number(2)?,
        mask: fields.value(4)?,
        xor: fields.value(5)?,
    })
}

/// `NFTA_IMMEDIATE_*`: 1 dreg, 2 data; only verdicts are spelled out.
fn immediate(fields: &Fields<'_>) -> Option<Expr> {
    if fields.number(1)? != REG_VERDICT {
        return None;
    }
    let data = fields.get(2)?.nested().find(wire::expr::VERDICT)?;
    let code = data.nested().find(wire::expr::CODE)?.u32_be()?;
    let chain = || -> Option<Box<str>> {
        let chain = data.nested().find(wire::expr::CHAIN)?;
        chain.text().map(Into::into)
    };
    Some(Expr::Verdict(match code.cast_signed() {
        verdict::ACCEPT => Verdict::Accept,
        verdict::DROP => Verdict::Drop,
        verdict::RETURN => Verdict::Return,
        verdict::JUMP => Verdict::Jump(chain()?),
        verdict::GOTO => Verdict::Goto(chain()?),
        _ => return None,
    }))
}

/// `NFTA_MATCH_*` and `NFTA_TARGET_*` have the same numbers.
fn extension(fields: &Fields<'_>) -> Option<(Box<str>, u32, Box<[u8]>)> {
    Some((
        fields.get(usize::from(wire::expr::XT_NAME))?.text()?.into(),
        fields.number(usize::from(wire::expr::XT_REV))?,
        fields.get(usize::from(wire::expr::XT_INFO))?.payload.into(),
    ))
}

/// `enum nft_cmp_ops`, and `enum nft_range_ops` with the same first two.
fn cmp_op(number: u32) -> Option<CmpOp> {
    Some(match number {
        0 => CmpOp::Eq,
        1 => CmpOp::Neq,
        2 => CmpOp::Lt,
        3 => CmpOp::Lte,
        4 => CmpOp::Gt,
        5 => CmpOp::Gte,
        _ => return None,
    })
}

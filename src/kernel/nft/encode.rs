//! One step of a change as one netlink message.
//!
//! Owns the message types and flags of each [`Op`] and the attributes of each [`Expr`]. Must not
//! know what the expressions mean to iptables.

use std::ffi::CStr;

use nftnl_sys as sys;

use super::object::{Header, NftChain, NftExpr, NftRule, NftTable, Object, Rejected, Scratch};
use super::wire::{self, msg, verdict};
use crate::kernel::netlink::flags;
use crate::model::IpFamily;
use crate::plan::expr::{CmpOp, Expr, PayloadBase, Register, RuleBody, Verdict};
use crate::plan::op::{ChainRef, Hook, Op, Place, TableRef};

/// `NFT_DATA_VALUE_MAXLEN`: what fits into the registers.
const DATA_MAX: usize = 64;
/// `XT_EXTENSION_MAXNAMELEN` without the closing NUL.
const EXTENSION_MAX: usize = 28;
/// `NFT_USERDATA_MAXLEN`.
const USERDATA_MAX: usize = 256;
/// `NFTA_RULE_EXPRESSIONS` is one attribute, with a 16-bit length.
const EXPRESSIONS_MAX: usize = u16::MAX as usize;

/// Why a step cannot be put into a netlink message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeReason {
    /// A name is longer than the kernel accepts.
    #[error("name {name:?} is longer than {max} bytes")]
    NameTooLong {
        /// The name.
        name: String,
        /// The limit.
        max: usize,
    },
    /// A name holds a NUL byte.
    #[error("name {0:?} holds a NUL byte")]
    NulInName(String),
    /// Register data or user data is longer than the kernel accepts.
    #[error("{what} of {len} bytes, at most {max} are possible")]
    DataTooLong {
        /// What it is.
        what: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// All expressions together do not fit into one attribute.
    #[error("the rule's expressions take {0} bytes, more than one attribute holds")]
    RuleTooLarge(usize),
    /// The rule has an expression that is only known as somebody else's.
    #[error("expression {0:?} is not one that portolan writes")]
    ForeignExpression(String),
    /// libnftnl has no memory, or refused a value.
    #[error("libnftnl refused it")]
    Library,
}

impl From<Rejected> for EncodeReason {
    fn from(_: Rejected) -> Self {
        Self::Library
    }
}

type Result<T> = std::result::Result<T, EncodeReason>;

/// A short NUL-terminated name without an allocation.
struct Name([u8; wire::NAME_MAX + 1]);

impl Name {
    fn new(name: &str, max: usize) -> Result<Self> {
        let mut bytes = [0; wire::NAME_MAX + 1];
        if name.len() > max.min(wire::NAME_MAX) {
            return Err(EncodeReason::NameTooLong {
                name: name.to_owned(),
                max,
            });
        }
        if name.contains('\0') {
            return Err(EncodeReason::NulInName(name.to_owned()));
        }
        for (to, from) in bytes.iter_mut().zip(name.bytes()) {
            *to = from;
        }
        Ok(Self(bytes))
    }

    fn object(name: &str) -> Result<Self> {
        Self::new(name, wire::NAME_MAX)
    }

    fn c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

/// Writes the message of `op` and gives its bytes.
pub(super) fn encode<'a>(
    op: &Op,
    seq: u32,
    extra_flags: u16,
    scratch: &'a mut Scratch,
) -> Result<&'a [u8]> {
    let (family, kind, flags, object) = message_of(op)?;
    let header = Header {
        number: msg::number(kind),
        family: u16::from(wire::nfproto(family)),
        flags: flags | extra_flags,
        seq,
    };
    Ok(scratch.build(header, &object))
}

/// Family, type, flags and content of a step's message.
fn message_of(op: &Op) -> Result<(IpFamily, u16, u16, Object)> {
    Ok(match op {
        Op::AddTable(table) => (
            table.family,
            msg::NEWTABLE,
            flags::CREATE,
            Object::Table(new_table(table)?),
        ),
        Op::DeleteTable(table) => (
            table.family,
            msg::DELTABLE,
            0,
            Object::Table(new_table(table)?),
        ),
        Op::AddChain { chain, hook } => (
            chain.table.family,
            msg::NEWCHAIN,
            flags::CREATE,
            Object::Chain(new_chain(chain, hook.as_ref())?),
        ),
        // Without NLM_F_NONREC the kernel would delete a chain together with its rules, also with
        // those that somebody else has put there in the meantime.
        Op::DeleteChain(chain) => (
            chain.table.family,
            msg::DELCHAIN,
            flags::NONREC,
            Object::Chain(new_chain(chain, None)?),
        ),
        Op::FlushChain(chain) => (
            chain.table.family,
            msg::DELRULE,
            0,
            Object::Rule(new_rule(chain)?),
        ),
        Op::DeleteRule { chain, handle } => {
            let mut rule = new_rule(chain)?;
            rule.handle(*handle);
            (chain.table.family, msg::DELRULE, 0, Object::Rule(rule))
        }
        Op::AddRule { chain, place, rule } => {
            let mut object = new_rule(chain)?;
            let flags = flags::CREATE | set_place(&mut object, *place);
            set_body(&mut object, rule)?;
            (
                chain.table.family,
                msg::NEWRULE,
                flags,
                Object::Rule(object),
            )
        }
    })
}

fn new_table(table: &TableRef) -> Result<NftTable> {
    Ok(NftTable::new(Name::object(&table.name)?.c_str())?)
}

fn new_chain(chain: &ChainRef, hook: Option<&Hook>) -> Result<NftChain> {
    let table = Name::object(&chain.table.name)?;
    let name = Name::object(&chain.name)?;
    let mut payload = NftChain::new(table.c_str(), name.c_str())?;
    if let Some(hook) = hook {
        // No policy: the kernel's default is accept, and an existing chain keeps the policy its
        // administrator gave it.
        let kind = Name::object(hook.chain_type)?;
        payload.hook(kind.c_str(), hook.hook, hook.priority)?;
    }
    Ok(payload)
}

fn new_rule(chain: &ChainRef) -> Result<NftRule> {
    let table = Name::object(&chain.table.name)?;
    let name = Name::object(&chain.name)?;
    Ok(NftRule::new(table.c_str(), name.c_str())?)
}

/// `NLM_F_APPEND` tells "after" from "before", of the chain as of a neighbour.
fn set_place(payload: &mut NftRule, place: Place) -> u16 {
    match place {
        Place::Append => flags::APPEND,
        Place::Prepend => 0,
        Place::Before(handle) => {
            payload.position(handle);
            0
        }
        Place::After(handle) => {
            payload.position(handle);
            flags::APPEND
        }
    }
}

fn set_body(payload: &mut NftRule, rule: &RuleBody) -> Result<()> {
    let size: usize = rule.exprs.iter().map(size_bound).sum();
    if size > EXPRESSIONS_MAX {
        return Err(EncodeReason::RuleTooLarge(size));
    }
    if let Some((protocol, flags)) = rule.compat {
        payload.compat(protocol, flags);
    }
    if !rule.userdata.is_empty() {
        bounded("user data", &rule.userdata, USERDATA_MAX)?;
        payload.userdata(&rule.userdata)?;
    }
    for expr in &rule.exprs {
        payload.add(new_expr(expr)?);
    }
    Ok(())
}

/// At least the bytes an expression takes in a message: its texts and data, and no more than a
/// dozen attribute headers, numbers and paddings.
fn size_bound(expr: &Expr) -> usize {
    const FRAME: usize = 128;
    FRAME
        + match expr {
            Expr::Cmp { data, .. } => data.len(),
            Expr::Range { from, to, .. } => from.len() + to.len(),
            Expr::Bitwise { mask, xor, .. } => mask.len() + xor.len(),
            Expr::Match { name, info, .. } | Expr::Target { name, info, .. } => {
                name.len() + info.len()
            }
            Expr::Verdict(Verdict::Jump(chain) | Verdict::Goto(chain)) => chain.len(),
            Expr::Other { name, data } => name.len() + data.len(),
            Expr::Meta { .. } | Expr::Payload { .. } | Expr::Counter | Expr::Verdict(_) => 0,
        }
}

fn new_expr(expr: &Expr) -> Result<NftExpr> {
    Ok(match expr {
        Expr::Meta { key, dreg } => NftExpr::new(c"meta")?
            .u32(sys::NFTNL_EXPR_META_KEY, *key)
            .u32(sys::NFTNL_EXPR_META_DREG, *dreg),
        Expr::Payload {
            base,
            offset,
            len,
            dreg,
        } => NftExpr::new(c"payload")?
            .u32(sys::NFTNL_EXPR_PAYLOAD_DREG, *dreg)
            .u32(sys::NFTNL_EXPR_PAYLOAD_BASE, base_number(*base))
            .u32(sys::NFTNL_EXPR_PAYLOAD_OFFSET, *offset)
            .u32(sys::NFTNL_EXPR_PAYLOAD_LEN, *len),
        Expr::Cmp { sreg, op, data } => NftExpr::new(c"cmp")?
            .u32(sys::NFTNL_EXPR_CMP_SREG, *sreg)
            .u32(sys::NFTNL_EXPR_CMP_OP, op_number(*op))
            .data(sys::NFTNL_EXPR_CMP_DATA, register_data(data)?)?,
        Expr::Range { sreg, op, from, to } => NftExpr::new(c"range")?
            .u32(sys::NFTNL_EXPR_RANGE_SREG, *sreg)
            .u32(sys::NFTNL_EXPR_RANGE_OP, op_number(*op))
            .data(sys::NFTNL_EXPR_RANGE_FROM_DATA, register_data(from)?)?
            .data(sys::NFTNL_EXPR_RANGE_TO_DATA, register_data(to)?)?,
        Expr::Bitwise {
            sreg,
            dreg,
            mask,
            xor,
        } => new_bitwise(*sreg, *dreg, mask, xor)?,
        Expr::Counter => NftExpr::new(c"counter")?,
        Expr::Verdict(verdict) => new_verdict(verdict)?,
        Expr::Match { name, rev, info } => NftExpr::new(c"match")?
            .text(
                sys::NFTNL_EXPR_MT_NAME,
                Name::new(name, EXTENSION_MAX)?.c_str(),
            )?
            .u32(sys::NFTNL_EXPR_MT_REV, *rev)
            .info(sys::NFTNL_EXPR_MT_INFO, info)?,
        Expr::Target { name, rev, info } => NftExpr::new(c"target")?
            .text(
                sys::NFTNL_EXPR_TG_NAME,
                Name::new(name, EXTENSION_MAX)?.c_str(),
            )?
            .u32(sys::NFTNL_EXPR_TG_REV, *rev)
            .info(sys::NFTNL_EXPR_TG_INFO, info)?,
        Expr::Other { name, .. } => {
            return Err(EncodeReason::ForeignExpression(name.to_string()));
        }
    })
}

fn new_bitwise(sreg: Register, dreg: Register, mask: &[u8], xor: &[u8]) -> Result<NftExpr> {
    let len = u32::try_from(register_data(mask)?.len()).unwrap_or(u32::MAX);
    Ok(NftExpr::new(c"bitwise")?
        .u32(sys::NFTNL_EXPR_BITWISE_SREG, sreg)
        .u32(sys::NFTNL_EXPR_BITWISE_DREG, dreg)
        .u32(sys::NFTNL_EXPR_BITWISE_LEN, len)
        .data(sys::NFTNL_EXPR_BITWISE_MASK, mask)?
        .data(sys::NFTNL_EXPR_BITWISE_XOR, register_data(xor)?)?)
}

fn new_verdict(verdict: &Verdict) -> Result<NftExpr> {
    let (code, chain) = match verdict {
        Verdict::Accept => (verdict::ACCEPT, None),
        Verdict::Drop => (verdict::DROP, None),
        Verdict::Return => (verdict::RETURN, None),
        Verdict::Jump(chain) => (verdict::JUMP, Some(chain)),
        Verdict::Goto(chain) => (verdict::GOTO, Some(chain)),
    };
    let expr = NftExpr::new(c"immediate")?
        .u32(sys::NFTNL_EXPR_IMM_DREG, crate::plan::expr::REG_VERDICT)
        .u32(sys::NFTNL_EXPR_IMM_VERDICT, code.cast_unsigned());
    Ok(match chain {
        Some(chain) => expr.text(sys::NFTNL_EXPR_IMM_CHAIN, Name::object(chain)?.c_str())?,
        None => expr,
    })
}

const fn base_number(base: PayloadBase) -> u32 {
    match base {
        PayloadBase::LinkLayer => 0,
        PayloadBase::Network => 1,
        PayloadBase::Transport => 2,
    }
}

/// `enum nft_cmp_ops`; `range` uses the first two with the same numbers.
const fn op_number(op: CmpOp) -> u32 {
    match op {
        CmpOp::Eq => 0,
        CmpOp::Neq => 1,
        CmpOp::Lt => 2,
        CmpOp::Lte => 3,
        CmpOp::Gt => 4,
        CmpOp::Gte => 5,
    }
}

fn register_data(data: &[u8]) -> Result<&[u8]> {
    bounded("register data", data, DATA_MAX)
}

fn bounded<'a>(what: &'static str, data: &'a [u8], max: usize) -> Result<&'a [u8]> {
    if data.len() > max {
        return Err(EncodeReason::DataTooLong {
            what,
            len: data.len(),
            max,
        });
    }
    Ok(data)
}

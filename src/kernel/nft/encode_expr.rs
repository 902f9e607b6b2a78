//! One expression as a libnftnl object.
//!
//! Owns the attributes of each [`Expr`] and the limits the kernel sets to names and data. Must not
//! know what the expressions mean to iptables.

use std::ffi::CStr;

use nftnl_sys as sys;

use super::error::EncodeReason;
use super::object::{NftExpr, Rejected};
use super::wire::{self, verdict};
use crate::plan::expr::{CmpOp, Expr, PayloadBase, REG_VERDICT, Register, Verdict};

/// `NFT_DATA_VALUE_MAXLEN`: what fits into the registers.
const DATA_MAX: usize = 64;
/// `XT_EXTENSION_MAXNAMELEN` without the closing NUL.
const EXTENSION_MAX: usize = 28;

impl From<Rejected> for EncodeReason {
    fn from(_: Rejected) -> Self {
        Self::Library
    }
}

pub(super) type Result<T> = std::result::Result<T, EncodeReason>;

/// A short NUL-terminated name without an allocation.
pub(super) struct Name([u8; wire::NAME_MAX + 1]);

impl Name {
    /// A name of at most `max` bytes.
    pub(super) fn new(name: &str, max: usize) -> Result<Self> {
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

    /// A name of a table, chain or chain type.
    pub(super) fn object(name: &str) -> Result<Self> {
        Self::new(name, wire::NAME_MAX)
    }

    /// The name for C.
    pub(super) fn c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}

/// At least the bytes an expression takes in a message: its texts and data, and no more than a
/// dozen attribute headers, numbers and paddings.
pub(super) fn size_bound(expr: &Expr) -> usize {
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
            Expr::Lookup { set, .. } | Expr::Dynset { set, .. } => set.len(),
            Expr::Meta { .. }
            | Expr::Payload { .. }
            | Expr::Counter
            | Expr::Verdict(_)
            | Expr::MetaSet { .. }
            | Expr::Ct { .. }
            | Expr::Random { .. }
            | Expr::Dnat { .. }
            | Expr::Masquerade { .. }
            | Expr::Notrack
            | Expr::Reject { .. }
            | Expr::Fib { .. } => 0,
        }
}

/// The libnftnl object of an expression.
pub(super) fn new_expr(expr: &Expr) -> Result<NftExpr> {
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
        Expr::MetaSet { .. }
        | Expr::Ct { .. }
        | Expr::Lookup { .. }
        | Expr::Random { .. }
        | Expr::Dnat { .. }
        | Expr::Masquerade { .. }
        | Expr::Notrack
        | Expr::Reject { .. }
        | Expr::Fib { .. }
        | Expr::Dynset { .. } => super::encode_native::new_native(expr)?,
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
        .u32(sys::NFTNL_EXPR_IMM_DREG, REG_VERDICT)
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

/// Data the kernel has a limit for.
pub(super) fn bounded<'a>(what: &'static str, data: &'a [u8], max: usize) -> Result<&'a [u8]> {
    if data.len() > max {
        return Err(EncodeReason::DataTooLong {
            what,
            len: data.len(),
            max,
        });
    }
    Ok(data)
}

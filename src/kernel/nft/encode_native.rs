//! The expressions that only tables of the nftables mode have, as libnftnl objects.
//!
//! Owns their attributes; iptables writes none of them. Must not know what a table means.

use nftnl_sys as sys;

use super::encode_expr::{Name, Result};
use super::error::EncodeReason;
use super::object::NftExpr;
use crate::plan::expr::Expr;

/// `NFT_NG_RANDOM`.
const NG_RANDOM: u32 = 1;
/// `NFT_NAT_DNAT`.
const NAT_DNAT: u32 = 1;
/// `NFT_LOOKUP_F_INV`.
const LOOKUP_INVERTED: u32 = 1;

/// The libnftnl object of a native expression.
pub(super) fn new_native(expr: &Expr) -> Result<NftExpr> {
    Ok(match expr {
        Expr::MetaSet { key, sreg } => NftExpr::new(c"meta")?
            .u32(sys::NFTNL_EXPR_META_KEY, *key)
            .u32(sys::NFTNL_EXPR_META_SREG, *sreg),
        Expr::Ct {
            key,
            direction,
            dreg,
        } => {
            let expr = NftExpr::new(c"ct")?
                .u32(sys::NFTNL_EXPR_CT_KEY, *key)
                .u32(sys::NFTNL_EXPR_CT_DREG, *dreg);
            match direction {
                Some(direction) => expr.u8(sys::NFTNL_EXPR_CT_DIR, *direction),
                None => expr,
            }
        }
        Expr::Random {
            modulus,
            offset,
            dreg,
        } => NftExpr::new(c"numgen")?
            .u32(sys::NFTNL_EXPR_NG_DREG, *dreg)
            .u32(sys::NFTNL_EXPR_NG_MODULUS, *modulus)
            .u32(sys::NFTNL_EXPR_NG_TYPE, NG_RANDOM)
            .u32(sys::NFTNL_EXPR_NG_OFFSET, *offset),
        Expr::Dnat {
            family,
            address,
            port,
            flags,
        } => NftExpr::new(c"nat")?
            .u32(sys::NFTNL_EXPR_NAT_TYPE, NAT_DNAT)
            .u32(sys::NFTNL_EXPR_NAT_FAMILY, *family)
            .u32(sys::NFTNL_EXPR_NAT_REG_ADDR_MIN, *address)
            .u32(sys::NFTNL_EXPR_NAT_REG_PROTO_MIN, *port)
            .u32(sys::NFTNL_EXPR_NAT_FLAGS, *flags),
        Expr::Masquerade { flags } => match flags {
            0 => NftExpr::new(c"masq")?,
            flags => NftExpr::new(c"masq")?.u32(sys::NFTNL_EXPR_MASQ_FLAGS, *flags),
        },
        Expr::Notrack => NftExpr::new(c"notrack")?,
        Expr::Reject { kind, code } => NftExpr::new(c"reject")?
            .u32(sys::NFTNL_EXPR_REJECT_TYPE, *kind)
            .u8(sys::NFTNL_EXPR_REJECT_CODE, *code),
        Expr::Fib {
            flags,
            result,
            dreg,
        } => NftExpr::new(c"fib")?
            .u32(sys::NFTNL_EXPR_FIB_FLAGS, *flags)
            .u32(sys::NFTNL_EXPR_FIB_RESULT, *result)
            .u32(sys::NFTNL_EXPR_FIB_DREG, *dreg),
        Expr::Lookup { .. } | Expr::Dynset { .. } => new_set_user(expr)?,
        _ => return Err(EncodeReason::Library),
    })
}

/// Expressions that refer to a set.
fn new_set_user(expr: &Expr) -> Result<NftExpr> {
    Ok(match expr {
        Expr::Lookup {
            set,
            sreg,
            dreg,
            not,
        } => {
            let mut expr = NftExpr::new(c"lookup")?
                .text(sys::NFTNL_EXPR_LOOKUP_SET, Name::object(set)?.c_str())?
                .u32(sys::NFTNL_EXPR_LOOKUP_SREG, *sreg);
            if let Some(dreg) = dreg {
                expr = expr.u32(sys::NFTNL_EXPR_LOOKUP_DREG, *dreg);
            }
            if *not {
                expr = expr.u32(sys::NFTNL_EXPR_LOOKUP_FLAGS, LOOKUP_INVERTED);
            }
            expr
        }
        Expr::Dynset {
            set,
            op,
            key,
            data,
            timeout_ms,
        } => {
            let mut expr = NftExpr::new(c"dynset")?
                .text(sys::NFTNL_EXPR_DYNSET_SET_NAME, Name::object(set)?.c_str())?
                .u32(sys::NFTNL_EXPR_DYNSET_OP, *op)
                .u32(sys::NFTNL_EXPR_DYNSET_SREG_KEY, *key);
            if let Some(data) = data {
                expr = expr.u32(sys::NFTNL_EXPR_DYNSET_SREG_DATA, *data);
            }
            if *timeout_ms != 0 {
                expr = expr.u64(sys::NFTNL_EXPR_DYNSET_TIMEOUT, *timeout_ms);
            }
            expr
        }
        _ => return Err(EncodeReason::Library),
    })
}

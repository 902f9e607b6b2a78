//! The expressions that only tables of the nftables mode have, out of netlink attributes.
//!
//! An attribute or a value that the vocabulary has no place for makes it an expression that is not
//! known, so that no foreign rule is taken for one of ours.

use super::decode::Fields;
use crate::plan::expr::Expr;

/// The expression of a kernel name, if the vocabulary spells it out.
pub(super) fn expr(name: &str, fields: &Fields<'_>) -> Option<Expr> {
    match name {
        "ct" => ct(fields),
        "lookup" => lookup(fields),
        "numgen" => random(fields),
        "nat" => dnat(fields),
        "masq" => masquerade(fields),
        "notrack" => Some(Expr::Notrack),
        "reject" => reject(fields),
        "fib" => fib(fields),
        "dynset" => dynset(fields),
        _ => None,
    }
}

/// An 8-bit number.
fn byte(fields: &Fields<'_>, kind: usize) -> Option<u8> {
    match fields.get(kind)?.payload {
        [byte] => Some(*byte),
        _ => None,
    }
}

/// `NFTA_CT_*`: 1 dreg, 2 key, 3 direction; 4 is the source register of a `ct set`.
fn ct(fields: &Fields<'_>) -> Option<Expr> {
    Some(Expr::Ct {
        dreg: fields.number(1)?,
        key: fields.number(2)?,
        direction: byte(fields, 3),
    })
}

/// `NFTA_LOOKUP_*`: 1 set, 2 sreg, 3 dreg, 5 flags (1 inverted).
fn lookup(fields: &Fields<'_>) -> Option<Expr> {
    Some(Expr::Lookup {
        set: fields.get(1)?.text()?.into(),
        sreg: fields.number(2)?,
        dreg: fields.number(3),
        not: match fields.number(5) {
            None | Some(0) => false,
            Some(1) => true,
            Some(_) => return None,
        },
    })
}

/// `NFTA_NG_*`: 1 dreg, 2 modulus, 3 type (1 random), 4 offset.
fn random(fields: &Fields<'_>) -> Option<Expr> {
    if fields.number(3)? != 1 {
        return None;
    }
    Some(Expr::Random {
        dreg: fields.number(1)?,
        modulus: fields.number(2)?,
        offset: fields.number(4).unwrap_or(0),
    })
}

/// `NFTA_NAT_*`: 1 type (1 DNAT), 2 family, 3 and 4 first and last address, 5 and 6 first and last
/// port, 7 flags. The kernel reports one address or port as a range from it to itself.
fn dnat(fields: &Fields<'_>) -> Option<Expr> {
    let single = |first: usize, last: usize| {
        let register = fields.number(first)?;
        let end = fields.number(last).unwrap_or(register);
        (register == end).then_some(register)
    };
    if fields.number(1)? != 1 {
        return None;
    }
    Some(Expr::Dnat {
        family: fields.number(2)?,
        address: single(3, 4)?,
        port: single(5, 6)?,
        flags: fields.number(7).unwrap_or(0),
    })
}

/// `NFTA_MASQ_*`: 1 flags, 2 and 3 registers of a port range, which is not ours.
fn masquerade(fields: &Fields<'_>) -> Option<Expr> {
    if fields.get(2).is_some() || fields.get(3).is_some() {
        return None;
    }
    Some(Expr::Masquerade {
        flags: fields.number(1).unwrap_or(0),
    })
}

/// `NFTA_REJECT_*`: 1 type, 2 ICMP code, which a TCP reset does not have.
fn reject(fields: &Fields<'_>) -> Option<Expr> {
    Some(Expr::Reject {
        kind: fields.number(1)?,
        code: byte(fields, 2).unwrap_or(0),
    })
}

/// `NFTA_FIB_*`: 1 dreg, 2 result, 3 flags.
fn fib(fields: &Fields<'_>) -> Option<Expr> {
    Some(Expr::Fib {
        dreg: fields.number(1)?,
        result: fields.number(2)?,
        flags: fields.number(3)?,
    })
}

/// `NFTA_DYNSET_*`: 1 set, 3 op, 4 key, 5 data, 6 timeout, 7 and 10 expressions, 9 flags.
fn dynset(fields: &Fields<'_>) -> Option<Expr> {
    let plain = fields.number(9).unwrap_or(0) == 0;
    if !plain || fields.get(7).is_some() || fields.get(10).is_some() {
        return None;
    }
    Some(Expr::Dynset {
        set: fields.get(1)?.text()?.into(),
        op: fields.number(3)?,
        key: fields.number(4)?,
        data: fields.number(5),
        timeout_ms: match fields.get(6) {
            Some(timeout) => timeout.u64_be()?,
            None => 0,
        },
    })
}

//! Expressions in words, for rules that have no other text: nearly as `nft --debug=netlink` puts
//! them.

use std::fmt::Write as _;

use super::expr::{CmpOp, Expr, PayloadBase, RuleBody, Verdict};

/// The rule's expressions, each in brackets.
#[must_use]
pub(super) fn words(body: &RuleBody) -> String {
    let mut text = String::new();
    for expr in &body.exprs {
        if !text.is_empty() {
            text.push(' ');
        }
        let _ = write!(text, "[ {} ]", expr_words(expr));
    }
    text
}

fn expr_words(expr: &Expr) -> String {
    match expr {
        Expr::Meta { key, dreg } => format!("meta load {} => reg {dreg}", meta_key(*key)),
        Expr::Payload {
            base,
            offset,
            len,
            dreg,
        } => {
            format!(
                "payload load {len}b @ {} + {offset} => reg {dreg}",
                base_name(*base)
            )
        }
        Expr::Cmp { sreg, op, data } => format!("cmp {} reg {sreg} {}", op_name(*op), hex(data)),
        Expr::Range { sreg, op, from, to } => {
            format!(
                "range {} reg {sreg} {} {}",
                op_name(*op),
                hex(from),
                hex(to)
            )
        }
        Expr::Bitwise {
            sreg,
            dreg,
            mask,
            xor,
        } => {
            format!(
                "bitwise reg {dreg} = ( reg {sreg} & {} ) ^ {}",
                hex(mask),
                hex(xor)
            )
        }
        Expr::Counter => "counter".to_owned(),
        Expr::Verdict(verdict) => format!("immediate {}", verdict_words(verdict)),
        Expr::Match { name, rev, .. } => format!("match name {name} rev {rev}"),
        Expr::Target { name, rev, .. } => format!("target name {name} rev {rev}"),
        Expr::Other { name, .. } => name.to_string(),
        _ => native_words(expr),
    }
}

/// Expressions that only tables of the nftables mode have.
fn native_words(expr: &Expr) -> String {
    match expr {
        Expr::MetaSet { key, sreg } => format!("meta set {} with reg {sreg}", meta_key(*key)),
        Expr::Ct {
            key,
            direction,
            dreg,
        } => {
            let direction = match direction {
                None => "",
                Some(0) => ", dir original",
                Some(_) => ", dir reply",
            };
            format!("ct load key {key} => reg {dreg}{direction}")
        }
        Expr::Lookup {
            set,
            sreg,
            dreg,
            not,
        } => {
            let to = dreg.map_or_else(String::new, |dreg| format!(" dreg {dreg}"));
            let not = if *not { " not" } else { "" };
            format!("lookup{not} reg {sreg} set {set}{to}")
        }
        Expr::Random {
            modulus,
            offset,
            dreg,
        } => format!("numgen reg {dreg} = random mod {modulus} offset {offset}"),
        Expr::Dnat {
            family,
            address,
            port,
            flags,
        } => format!("nat dnat family {family} addr reg {address} proto reg {port} flags {flags}"),
        Expr::Masquerade { flags } => format!("masq flags {flags}"),
        Expr::Notrack => "notrack".to_owned(),
        Expr::Reject { kind, code } => format!("reject type {kind} code {code}"),
        Expr::Fib {
            flags,
            result,
            dreg,
        } => format!("fib flags {flags} result {result} => reg {dreg}"),
        Expr::Dynset {
            set,
            op,
            key,
            data,
            timeout_ms,
        } => {
            let data = data.map_or_else(String::new, |data| format!(" sreg_data {data}"));
            format!("dynset op {op} reg_key {key} set {set}{data} timeout {timeout_ms}ms")
        }
        _ => String::new(),
    }
}

fn verdict_words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Accept => "accept".to_owned(),
        Verdict::Drop => "drop".to_owned(),
        Verdict::Return => "return".to_owned(),
        Verdict::Jump(chain) => format!("jump -> {chain}"),
        Verdict::Goto(chain) => format!("goto -> {chain}"),
    }
}

/// `enum nft_meta_keys`, as far as it is likely here.
fn meta_key(key: u32) -> String {
    match key {
        3 => "mark".to_owned(),
        4 => "iif".to_owned(),
        5 => "oif".to_owned(),
        6 => "iifname".to_owned(),
        7 => "oifname".to_owned(),
        16 => "l4proto".to_owned(),
        other => format!("key {other}"),
    }
}

fn base_name(base: PayloadBase) -> &'static str {
    match base {
        PayloadBase::LinkLayer => "link header",
        PayloadBase::Network => "network header",
        PayloadBase::Transport => "transport header",
    }
}

fn op_name(op: CmpOp) -> &'static str {
    match op {
        CmpOp::Eq => "eq",
        CmpOp::Neq => "neq",
        CmpOp::Lt => "lt",
        CmpOp::Lte => "lte",
        CmpOp::Gt => "gt",
        CmpOp::Gte => "gte",
    }
}

fn hex(data: &[u8]) -> String {
    format!("0x{}", data_encoding::HEXLOWER.encode(data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_spelled_expression_by_expression() {
        let exprs = vec![
            Expr::Meta { key: 16, dreg: 1 },
            Expr::Cmp {
                sreg: 1,
                op: CmpOp::Eq,
                data: Box::new([6]),
            },
            Expr::Other {
                name: "log".into(),
                data: Box::default(),
            },
            Expr::Verdict(Verdict::Goto("X".into())),
        ];
        let body = RuleBody {
            exprs,
            ..RuleBody::default()
        };
        assert_eq!(
            words(&body),
            "[ meta load l4proto => reg 1 ] [ cmp eq reg 1 0x06 ] [ log ] [ immediate goto -> X ]"
        );
    }
}

//! Reads `plan_data/iptables-1.8.9.txt`.
#![allow(dead_code, reason = "each test uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "test code, outside of #[test] functions"
)]

use portolan::model::IpFamily;
use portolan::plan::expr::{CmpOp, Expr, PayloadBase, REG_1, RuleBody, Verdict};

/// A rule and its expressions as captured.
pub(crate) struct Captured {
    /// Whether it is within our vocabulary.
    pub(crate) ours: bool,
    /// Its family.
    pub(crate) family: IpFamily,
    /// What `iptables-save` shows.
    pub(crate) text: String,
    /// What the kernel holds.
    pub(crate) body: RuleBody,
}

/// All captured rules.
pub(crate) fn rules() -> Vec<Captured> {
    let text = include_str!("../plan_data/iptables-1.8.9.txt");
    let lines: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
    let mut rules = Vec::new();
    for line in &lines {
        if line.starts_with(' ') {
            let rule: &mut Captured = rules.last_mut().unwrap();
            rule.body.exprs.push(expr(line.trim()));
            continue;
        }
        let mut words = line.splitn(3, ' ');
        rules.push(Captured {
            ours: words.next() == Some("ours"),
            family: if words.next() == Some("ip") {
                IpFamily::V4
            } else {
                IpFamily::V6
            },
            text: words.next().unwrap().to_owned(),
            body: RuleBody::default(),
        });
    }
    rules
}

/// A rule's content from lines in the file's form.
pub(crate) fn body(text: &str) -> RuleBody {
    RuleBody {
        exprs: text.lines().map(|l| expr(l.trim())).collect(),
        ..RuleBody::default()
    }
}

fn expr(line: &str) -> Expr {
    let words: Vec<&str> = line.split(' ').collect();
    let number = |at: usize| words[at].parse::<u32>().unwrap();
    let bytes = |at: usize| hex(words.get(at).copied().unwrap_or_default());
    match words[0] {
        "meta" => Expr::Meta {
            key: number(1),
            dreg: REG_1,
        },
        "payload" => {
            let base = match number(1) {
                1 => PayloadBase::Network,
                _ => PayloadBase::Transport,
            };
            Expr::Payload {
                base,
                offset: number(2),
                len: number(3),
                dreg: REG_1,
            }
        }
        "cmp" => {
            let op = if words[1] == "eq" {
                CmpOp::Eq
            } else {
                CmpOp::Neq
            };
            Expr::Cmp {
                sreg: REG_1,
                op,
                data: bytes(2),
            }
        }
        "bitwise" => Expr::Bitwise {
            sreg: REG_1,
            dreg: REG_1,
            mask: bytes(1),
            xor: bytes(2),
        },
        "range" => Expr::Range {
            sreg: REG_1,
            op: CmpOp::Eq,
            from: bytes(1),
            to: bytes(2),
        },
        "counter" => Expr::Counter,
        kind @ ("match" | "target") => {
            let mut info = bytes(4).into_vec();
            info.resize(words[3].parse().unwrap(), 0);
            let (name, rev, info) = (words[1].into(), number(2), info.into());
            if kind == "match" {
                Expr::Match { name, rev, info }
            } else {
                Expr::Target { name, rev, info }
            }
        }
        "accept" => Expr::Verdict(Verdict::Accept),
        "drop" => Expr::Verdict(Verdict::Drop),
        "return" => Expr::Verdict(Verdict::Return),
        "jump" => Expr::Verdict(Verdict::Jump(words[1].into())),
        "goto" => Expr::Verdict(Verdict::Goto(words[1].into())),
        other => panic!("unknown expression {other}"),
    }
}

fn hex(text: &str) -> Box<[u8]> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

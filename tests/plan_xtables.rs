//! Rules to expressions and back: nothing is lost, and nothing else is taken for ours.

#[path = "plan_support/captured.rs"]
mod captured;
#[path = "plan_support/mod.rs"]
mod support;

use portolan::model::IpFamily;
use portolan::plan::expr::{CmpOp, Expr, PayloadBase, RuleBody, Verdict};
use portolan::plan::xtables::decode::{Decoded, decode};
use portolan::plan::xtables::encode::{canonical, encode};
use portolan::plan::xtables::rule::{XtMatch, XtRule};
use portolan::plan::xtables::save::rule_text;
use proptest::prelude::*;

#[test]
fn what_iptables_wrote_is_read_and_would_be_written_the_same() {
    let captured = captured::rules();
    let ours: Vec<_> = captured.iter().filter(|c| c.ours).collect();
    assert_eq!(ours.len(), 66);
    for c in ours {
        let Decoded::Rule(rule) = decode(&c.body, c.family) else {
            panic!("not read: {}", c.text);
        };
        // The kernel does not report NFTA_RULE_COMPAT.
        let written = RuleBody {
            compat: None,
            ..encode(&rule, c.family)
        };
        assert_eq!(written, c.body, "{}", c.text);
        let chain = c.text.split(' ').nth(1).unwrap();
        let text = format!("-A {chain} {}", rule_text(&rule, c.family));
        assert_eq!(text.trim_end(), c.text);
    }
}

#[test]
fn what_iptables_wrote_beyond_our_vocabulary_is_foreign() {
    let captured = captured::rules();
    let foreign: Vec<_> = captured.iter().filter(|c| !c.ours).collect();
    assert_eq!(foreign.len(), 20);
    for c in foreign {
        assert_eq!(decode(&c.body, c.family), Decoded::Foreign, "{}", c.text);
    }
}

proptest! {
    // A failing case is printed; nothing is written into the tree.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_rule_comes_back((family, rule) in any_rule()) {
        let body = encode(&rule, family);
        let wanted = canonical(&rule).into_owned();
        prop_assert_eq!(decode(&body, family), Decoded::Rule(wanted.clone()));
        // What the kernel gives back lacks the compat attribute.
        let reported = RuleBody { compat: None, ..body.clone() };
        prop_assert_eq!(decode(&reported, family), Decoded::Rule(wanted.clone()));
        prop_assert_eq!(encode(&wanted, family), body);
    }

    #[test]
    fn no_changed_byte_goes_unnoticed((family, rule) in any_rule(), flip in 1..=u8::MAX) {
        let body = encode(&rule, family);
        let wanted = Decoded::Rule(canonical(&rule).into_owned());
        for changed in changes(&body, flip) {
            prop_assert_ne!(&decode(&changed, family), &wanted, "{:?}", changed);
        }
    }

    #[test]
    fn another_family_never_reads_it_as_the_same_unless_it_names_no_address(
        (family, rule) in any_rule()
    ) {
        let other = if family == IpFamily::V4 { IpFamily::V6 } else { IpFamily::V4 };
        let canonical = canonical(&rule).into_owned();
        let addressed = canonical.source.is_some() || canonical.destination.is_some();
        let read = decode(&encode(&rule, family), other);
        prop_assert!(!addressed || read != Decoded::Rule(canonical));
    }
}

fn any_rule() -> impl Strategy<Value = (IpFamily, XtRule)> {
    support::family().prop_flat_map(|f| (Just(f), support::rule(f)))
}

/// Every body that differs in one place.
fn changes(body: &RuleBody, flip: u8) -> Vec<RuleBody> {
    let mut all = Vec::new();
    for at in 0..body.exprs.len() {
        let mut without = body.clone();
        without.exprs.remove(at);
        all.push(without);
        for expr in expr_changes(&body.exprs[at], flip) {
            let mut changed = body.clone();
            changed.exprs[at] = expr;
            all.push(changed);
        }
        let mut twice = body.clone();
        twice.exprs.insert(at, body.exprs[at].clone());
        all.push(twice);
    }
    if let Some((protocol, flags)) = body.compat {
        let wrong = (protocol ^ u32::from(flip), flags);
        all.push(RuleBody {
            compat: Some(wrong),
            ..body.clone()
        });
    }
    let userdata = vec![flip; 3].into_boxed_slice();
    all.push(RuleBody {
        userdata,
        ..body.clone()
    });
    all
}

fn expr_changes(expr: &Expr, flip: u8) -> Vec<Expr> {
    let number = u32::from(flip);
    let bytes = |data: &[u8]| -> Vec<Box<[u8]>> {
        (0..data.len())
            .map(|at| {
                let mut data = data.to_vec();
                data[at] ^= flip;
                data.into_boxed_slice()
            })
            .chain([[data, &[0, flip]].concat().into_boxed_slice()])
            .collect()
    };
    match expr.clone() {
        Expr::Meta { key, dreg } => vec![
            Expr::Meta {
                key: key ^ number,
                dreg,
            },
            Expr::Meta {
                key,
                dreg: dreg ^ number,
            },
        ],
        Expr::Payload {
            base,
            offset,
            len,
            dreg,
        } => vec![
            Expr::Payload {
                base: PayloadBase::LinkLayer,
                offset,
                len,
                dreg,
            },
            Expr::Payload {
                base,
                offset: offset ^ number,
                len,
                dreg,
            },
            Expr::Payload {
                base,
                offset,
                len: len ^ number,
                dreg,
            },
            Expr::Payload {
                base,
                offset,
                len,
                dreg: dreg ^ number,
            },
        ],
        Expr::Cmp { sreg, op, data } => {
            let mut all = vec![
                Expr::Cmp {
                    sreg: sreg ^ number,
                    op,
                    data: data.clone(),
                },
                Expr::Cmp {
                    sreg,
                    op: CmpOp::Gte,
                    data: data.clone(),
                },
            ];
            all.extend(
                bytes(&data)
                    .into_iter()
                    .map(|data| Expr::Cmp { sreg, op, data }),
            );
            all
        }
        Expr::Bitwise {
            sreg,
            dreg,
            mask,
            xor,
        } => {
            let masks = bytes(&mask).into_iter();
            let xors = bytes(&xor).into_iter();
            let masks = masks.map(|mask| Expr::Bitwise {
                sreg,
                dreg,
                mask,
                xor: xor.clone(),
            });
            let xors = xors.map(|xor| Expr::Bitwise {
                sreg,
                dreg,
                mask: mask.clone(),
                xor,
            });
            masks.chain(xors).collect()
        }
        Expr::Match { name, rev, info } => {
            let mut all = vec![Expr::Match {
                name: name.clone(),
                rev: rev ^ 8,
                info: info.clone(),
            }];
            let skip = unread(&name, &info);
            let infos = bytes(&info).into_iter().enumerate();
            let infos = infos.filter(|(at, _)| !skip.contains(at));
            all.extend(infos.map(|(_, info)| Expr::Match {
                name: name.clone(),
                rev,
                info,
            }));
            all
        }
        Expr::Target { name, rev, info } => {
            let mut all = vec![Expr::Target {
                name: name.clone(),
                rev: rev ^ 8,
                info: info.clone(),
            }];
            let infos = bytes(&info).into_iter();
            all.extend(infos.map(|info| Expr::Target {
                name: name.clone(),
                rev,
                info,
            }));
            all
        }
        Expr::Verdict(_) => vec![
            Expr::Verdict(Verdict::Goto("KUBE-X".into())),
            Expr::Other {
                name: "immediate".into(),
                data: Box::default(),
            },
        ],
        _ => Vec::new(),
    }
}

/// Where one changed byte makes a structure that is documented to mean the same: `count` of
/// `statistic`, when that makes it zero.
fn unread(name: &str, info: &[u8]) -> std::ops::Range<usize> {
    let one_byte = name == "statistic" && info[12..16].iter().filter(|b| **b != 0).count() == 1;
    if one_byte { 12..16 } else { 0..0 }
}

#[test]
fn other_forms_that_mean_the_same_are_read() {
    let text = "  meta 16\n  cmp eq 06\n  payload 1 16 4\n  bitwise ffffff00 00000000\n  \
                cmp eq 0a010200\n  match tcp 0 16 0000ffff01bb01bb\n  counter\n  jump KUBE-X\n";
    let text = text.replace("01bb01bb", &hex(443u16));
    let body = captured::body(&text);
    let plain = "  meta 16\n  cmp eq 06\n  payload 1 16 3\n  cmp eq 0a0102\n  payload 2 2 2\n  \
                 cmp eq 01bb\n  counter\n  jump KUBE-X\n";
    let plain = captured::body(plain);
    assert_eq!(decode(&body, IpFamily::V4), decode(&plain, IpFamily::V4));
    assert_ne!(decode(&plain, IpFamily::V4), Decoded::Foreign);

    let mark = captured::body("  match mark 1 16 004000000040\n  counter\n  return\n");
    let native = captured::body(
        "  meta 3\n  bitwise 00400000 00000000\n  cmp eq 00400000\n  counter\n  return\n",
    );
    assert_eq!(decode(&mark, IpFamily::V4), decode(&native, IpFamily::V4));
    assert_ne!(decode(&native, IpFamily::V4), Decoded::Foreign);
}

#[test]
fn native_expressions_make_a_rule_foreign() {
    let natives = [
        Expr::MetaSet { key: 3, sreg: 1 },
        Expr::Lookup {
            set: "s".into(),
            sreg: 1,
            dreg: None,
            not: false,
        },
        Expr::Masquerade { flags: 0 },
        Expr::Reject { kind: 0, code: 3 },
    ];
    for native in natives {
        for exprs in [
            vec![native.clone(), Expr::Counter],
            vec![Expr::Counter, native.clone()],
        ] {
            let body = RuleBody {
                exprs,
                ..RuleBody::default()
            };
            assert_eq!(decode(&body, IpFamily::V4), Decoded::Foreign, "{native:?}");
        }
    }
}

fn hex(port: u16) -> String {
    let [a, b] = port.to_ne_bytes();
    format!("{a:02x}{b:02x}{a:02x}{b:02x}")
}

#[test]
fn a_comment_in_user_data_comes_after_the_other_matches() {
    let mut body = captured::body("  meta 3\n  cmp eq 00400000\n  counter\n  return\n");
    body.userdata = b"\x00\x06hello\x00".to_vec().into();
    let Decoded::Rule(rule) = decode(&body, IpFamily::V4) else {
        panic!("foreign")
    };
    assert_eq!(rule.matches.last(), Some(&XtMatch::Comment("hello".into())));
}

//! Rules and plans against the running kernel and iptables itself.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "test code, also outside of #[test] functions"
)]

#[path = "plan_support/captured.rs"]
mod captured;
mod kernel_support;
#[path = "plan_support/ruleset.rs"]
mod ruleset;

use std::io::Write as _;
use std::process::{Command, Stdio};

use captured::Captured;
use kernel_support::{in_new_netns, run, socket};
use portolan::kernel::Socket;
use portolan::kernel::nfacct;
use portolan::kernel::nft::{Batch, NftKernel};
use portolan::model::IpFamily;
use portolan::plan::diff::{DesiredState, NoRuleset, Plan, PresentState, Step, cleanup, plan};
use portolan::plan::expr::RuleBody;
use portolan::plan::op::{ChainRef, Op, Place, TableRef};
use portolan::plan::xtables::decode::{Decoded, decode};
use portolan::plan::xtables::encode::encode;
use portolan::plan::xtables::rule::{XtRuleset, XtTable};
use portolan::plan::xtables::save::rule_text;
use ruleset::Rules;

/// The chains the captured rules are in and jump to.
const CHAINS: [(&str, &str); 6] = [
    ("filter", "KUBE-F"),
    ("nat", "KUBE-SVC-A"),
    ("nat", "KUBE-SERVICES"),
    ("nat", "KUBE-MARK-MASQ"),
    ("nat", "KUBE-SEP-X"),
    ("nat", "KUBE-A"),
];

fn tool(family: IpFamily, what: &str) -> String {
    match family {
        IpFamily::V4 => format!("iptables{what}"),
        IpFamily::V6 => format!("ip6tables{what}"),
    }
}

fn restore(family: IpFamily, input: &str) {
    let program = tool(family, "-restore");
    let mut child = Command::new(&program)
        .arg("--noflush")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success(), "{program} on:\n{input}");
}

fn save(family: IpFamily) -> Vec<String> {
    let text = run(&tool(family, "-save"), &[]);
    text.lines()
        .filter(|l| l.starts_with("-A"))
        .map(str::to_owned)
        .collect()
}

fn rules_of(socket: &mut Socket, family: IpFamily, table: &str, chain: &str) -> Vec<RuleBody> {
    let table = TableRef {
        family,
        name: table.into(),
    };
    let mut rules = Vec::new();
    socket
        .dump_rules(&table, Some(chain), &mut |rule| rules.push(rule.body))
        .unwrap();
    rules
}

/// What iptables listed when it was captured and the kernel accepts again, by chain.
fn ours(family: IpFamily, chain: &str) -> Vec<Captured> {
    let prefix = format!("-A {chain}");
    let of_chain = |c: &Captured| {
        c.ours && c.family == family && c.text.split(' ').take(2).eq(prefix.split(' '))
    };
    captured::rules().into_iter().filter(of_chain).collect()
}

fn prepare_nfacct() {
    let mut socket = socket();
    for name in [
        "ct_state_invalid_dropped_pkts",
        "localhost_nps_accepted_pkts",
    ] {
        nfacct::ensure(&mut socket, name).unwrap();
    }
}

/// kube-proxy leaves the mask of `recent` to iptables, which then stores other bytes than when it
/// is given as listed.
fn as_kube_proxy_has_it(text: &str) -> String {
    let words: Vec<_> = text.split(' ').collect();
    let mask = words.iter().position(|w| *w == "--mask");
    let kept = words.iter().enumerate();
    let kept = kept.filter(|(at, _)| mask.is_none_or(|m| *at != m && *at != m + 1));
    kept.map(|(_, w)| *w).collect::<Vec<_>>().join(" ")
}

#[test]
fn what_iptables_writes_now_is_read_as_it_lists_it() {
    read_back(as_kube_proxy_has_it);
}

#[test]
fn what_iptables_saved_and_restored_is_read_the_same() {
    read_back(str::to_owned);
}

fn read_back(given: fn(&str) -> String) {
    in_new_netns(|| {
        prepare_nfacct();
        for family in IpFamily::ALL {
            for table in ["filter", "nat"] {
                let chains = CHAINS.iter().filter(|(t, _)| *t == table);
                let mut input = format!("*{table}\n");
                for (_, chain) in chains.clone() {
                    input += &format!(":{chain} - [0:0]\n");
                }
                for (_, chain) in chains {
                    for c in ours(family, chain) {
                        input += &format!("{}\n", given(&c.text));
                    }
                }
                restore(family, &(input + "COMMIT\n"));
            }
            let mut socket = socket();
            for (table, chain) in CHAINS {
                let wanted = ours(family, chain);
                let bodies = rules_of(&mut socket, family, table, chain);
                assert_eq!(bodies.len(), wanted.len());
                for (body, c) in bodies.iter().zip(wanted) {
                    let Decoded::Rule(rule) = decode(body, family) else {
                        panic!("foreign: {}", c.text);
                    };
                    let text = format!("-A {chain} {}", rule_text(&rule, family));
                    assert_eq!(text.trim_end(), c.text);
                    if given(&c.text) == as_kube_proxy_has_it(&c.text) {
                        let written = encode(&rule, family);
                        assert_eq!(
                            *body,
                            RuleBody {
                                compat: None,
                                ..written
                            }
                        );
                    }
                }
            }
        }
    });
}

#[test]
fn what_is_written_is_listed_by_iptables_and_found_by_its_check() {
    in_new_netns(|| {
        prepare_nfacct();
        for family in IpFamily::ALL {
            let mut socket = socket();
            let mut batch = Batch::new(None);
            for table in ["filter", "nat"] {
                batch
                    .push(&Op::AddTable(TableRef {
                        family,
                        name: table.into(),
                    }))
                    .unwrap();
            }
            let place = |table: &str, chain: &str| ChainRef {
                table: TableRef {
                    family,
                    name: table.into(),
                },
                name: chain.into(),
            };
            for (table, chain) in CHAINS {
                batch
                    .push(&Op::AddChain {
                        chain: place(table, chain),
                        hook: None,
                    })
                    .unwrap();
            }
            let mut wanted = Vec::new();
            for (table, chain) in CHAINS {
                for c in ours(family, chain) {
                    let Decoded::Rule(rule) = decode(&c.body, family) else {
                        panic!()
                    };
                    let rule = encode(&rule, family);
                    let chain = place(table, chain);
                    batch
                        .push(&Op::AddRule {
                            chain,
                            place: Place::Append,
                            rule,
                        })
                        .unwrap();
                    wanted.push((table, c.text));
                }
            }
            batch.commit(&mut socket).unwrap();
            let mut listed = save(family);
            let mut texts: Vec<_> = wanted.iter().map(|(_, text)| text.clone()).collect();
            listed.sort();
            texts.sort();
            assert_eq!(listed, texts);
            for (table, text) in wanted {
                let check = as_kube_proxy_has_it(&text).replacen("-A", "-C", 1);
                let command = format!("{} -t {table} {check}", tool(family, ""));
                run("sh", &["-c", &command]);
            }
        }
    });
}

fn present(socket: &mut Socket, family: IpFamily) -> PresentState {
    let mut present = PresentState::new(family);
    for table in [XtTable::Filter, XtTable::Nat, XtTable::Mangle] {
        let name = TableRef {
            family,
            name: table.name().into(),
        };
        let chains = &mut |chain: portolan::kernel::nft::ChainView<'_>| {
            present.add_chain(table, chain.name, chain.base.is_some(), chain.uses);
        };
        socket.dump_chains(&name, chains).unwrap();
        let rules = &mut |rule: portolan::kernel::nft::RuleView<'_>| {
            present.add_rule(table, rule.chain, rule.handle, &rule.body);
        };
        socket.dump_rules(&name, None, rules).unwrap();
    }
    present
}

/// Commits a plan, each stage on its own.
fn take(socket: &mut Socket, plan: &Plan, ruleset: &dyn XtRuleset) {
    let mut batch = Batch::new(None);
    let steps = plan.ops(ruleset, &mut |step| match step {
        Step::Op(op) => batch.push(&op).map_err(|e| e.to_string()),
        Step::StagePoint => {
            let stage = std::mem::replace(&mut batch, Batch::new(None));
            stage.commit(socket).map(drop).map_err(|e| e.to_string())
        }
    });
    steps.unwrap();
    if !batch.is_empty() {
        batch.commit(socket).unwrap();
    }
}

fn apply(socket: &mut Socket, rules: &Rules) -> Plan {
    let plan = plan(&DesiredState::of(rules), &present(socket, IpFamily::V4));
    take(socket, &plan, rules);
    plan
}

#[test]
fn the_kernel_takes_every_plan_and_the_next_is_empty() {
    in_new_netns(|| {
        let mut socket = socket();
        let states = [
            Rules(vec![(1, vec![1, 2, 3]), (2, vec![]), (3, vec![4])]),
            Rules(vec![(3, vec![4, 5]), (1, vec![1, 3]), (4, vec![])]),
            Rules(vec![]),
            Rules(vec![(2, vec![1]), (4, vec![1, 2])]),
        ];
        for rules in &states {
            let first = apply(&mut socket, rules);
            assert!(!first.is_empty());
            let mut text = String::new();
            portolan::plan::xtables::save::save(rules, &mut text).unwrap();
            let mut wanted: Vec<_> = text
                .lines()
                .filter(|l| l.starts_with("-A"))
                .map(str::to_owned)
                .collect();
            let mut listed = save(IpFamily::V4);
            wanted.sort();
            listed.sort();
            assert_eq!(listed, wanted);
            assert!(apply(&mut socket, rules).is_empty());
        }
    });
}

#[test]
fn rules_that_iptables_added_to_our_chains_are_taken_out_and_others_left() {
    in_new_netns(|| {
        let mut socket = socket();
        let rules = Rules(vec![(1, vec![1, 2])]);
        apply(&mut socket, &rules);
        run(
            "iptables",
            &[
                "-t",
                "nat",
                "-I",
                "KUBE-SERVICES",
                "-p",
                "icmp",
                "-j",
                "ACCEPT",
            ],
        );
        run("iptables", &["-I", "INPUT", "-p", "icmp", "-j", "ACCEPT"]);
        let second = apply(&mut socket, &rules);
        assert_eq!(second.counts().to_string(), "chains +0 ~1 -0, rules +0 -1");
        assert_eq!(
            save(IpFamily::V4)
                .iter()
                .filter(|l| l.contains("icmp -j"))
                .count(),
            1
        );

        // A stale chain that somebody else's map still points to cannot go.
        run("nft", &["add chain ip nat mine"]);
        let map = "add map ip nat m { type inet_service : verdict; elements = { 80 : jump KUBE-SVC-0000000000000001 } }";
        run("nft", &[map]);
        let third = apply(&mut socket, &Rules::default());
        assert_eq!(third.held_chains().count(), 1);
        assert!(apply(&mut socket, &Rules::default()).is_empty());

        run("nft", &["delete map ip nat m"]);
        let all = cleanup(&present(&mut socket, IpFamily::V4));
        take(&mut socket, &all, &NoRuleset(IpFamily::V4));
        let left = save(IpFamily::V4);
        assert_eq!(left, ["-A INPUT -p icmp -j ACCEPT"]);
        assert!(!run("iptables-save", &[]).contains("KUBE-"));
    });
}

#[test]
fn nft_takes_the_text_form() {
    in_new_netns(|| {
        let mut text = String::new();
        let rules = Rules(vec![(1, vec![1, 2, 3]), (2, vec![])]);
        portolan::plan::nft_text::write(&rules, &mut text).unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        run("nft", &["-c", "-f", file.path().to_str().unwrap()]);
    });
}

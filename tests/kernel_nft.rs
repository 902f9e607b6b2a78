//! Transactions on nf_tables in real network namespaces.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]

mod kernel_support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use kernel_support::*;
use portolan::kernel::Socket;
use portolan::kernel::nft::*;
use portolan::model::IpFamily::{V4, V6};
use portolan::plan::expr::{Expr, Verdict};
use portolan::plan::op::{ChainRef, Op, Place};

/// Commits the steps, bound to no generation.
fn commit(socket: &mut Socket, ops: &[Op]) -> Result<Committed, CommitError> {
    let mut batch = Batch::new(None);
    for op in ops {
        batch.push(op).unwrap();
    }
    batch.commit(socket)
}

/// Table `ip nat` with the chains.
fn with_chains(socket: &mut Socket, names: &[&str]) -> Vec<ChainRef> {
    let chains: Vec<_> = names.iter().map(|name| chain(V4, "nat", name)).collect();
    let mut ops = vec![Op::AddTable(table(V4, "nat"))];
    ops.extend(chains.iter().map(add_chain));
    commit(socket, &ops).unwrap();
    chains
}

fn refusals(result: Result<Committed, CommitError>) -> Vec<Refusal> {
    match result.unwrap_err() {
        CommitError::Refused { refusals, .. } => refusals,
        other => panic!("{other:?}"),
    }
}

fn chain_names(socket: &mut Socket) -> Vec<String> {
    let mut names = Vec::new();
    let visit = &mut |chain: ChainView<'_>| names.push(chain.name.to_owned());
    dump_chains(socket, &table(V4, "nat"), visit).unwrap();
    names
}

/// Handles of a chain's rules, in order.
fn rules(socket: &mut Socket, chain: &ChainRef) -> Vec<u64> {
    let mut handles = Vec::new();
    let visit = &mut |rule: RuleView<'_>| handles.push(rule.handle);
    dump_rules(socket, &chain.table, Some(&chain.name), visit).unwrap();
    handles
}

#[test]
fn a_commit_reports_the_generation_it_made() {
    in_new_netns(|| {
        let mut socket = socket();
        let chains = with_chains(&mut socket, &["A"]);
        let a = chains.first().unwrap();
        let rule = append(a, vec![Expr::Counter]);
        let firsts = [
            Op::AddTable(table(V4, "nat")),
            add_chain(a),
            rule.clone(),
            Op::FlushChain(a.clone()),
            Op::DeleteTable(table(V4, "nat")),
        ];
        for first in firsts {
            let before = generation(&mut socket).unwrap();
            let mut batch = Batch::new(Some(before));
            batch.push(&first).unwrap();
            if first == rule {
                batch.push(&rule).unwrap();
            }
            let committed = batch.commit(&mut socket).unwrap();
            let now = generation(&mut socket).unwrap();
            assert_eq!(committed.generation, now, "{first:?}");
        }
    });
}

#[test]
fn an_empty_batch_changes_nothing() {
    in_new_netns(|| {
        let mut socket = socket();
        let before = generation(&mut socket).unwrap();
        let committed = commit(&mut socket, &[]).unwrap();
        assert_eq!((committed.generation, committed.messages), (before, 0));
        assert_eq!(generation(&mut socket).unwrap(), before);
    });
}

#[test]
fn one_bad_step_undoes_the_whole_batch() {
    in_new_netns(|| {
        let mut socket = socket();
        let a = chain(V4, "nat", "A");
        let before = generation(&mut socket).unwrap();
        let result = commit(
            &mut socket,
            &[
                Op::AddTable(a.table.clone()),
                add_chain(&a),
                append(&a, vec![Expr::Counter]),
                append(&a, vec![jump(&chain(V4, "nat", "MISSING"))]),
                add_chain(&chain(V4, "nat", "B")),
            ],
        );
        assert_eq!(refusals(result).len(), 1);
        assert_eq!(generation(&mut socket).unwrap(), before);
        let mut tables = 0;
        dump_tables(&mut socket, V4, &mut |_| tables += 1).unwrap();
        assert_eq!(tables, 0);
    });
}

#[test]
fn every_refused_step_is_named_with_the_part_that_is_wrong() {
    in_new_netns(|| {
        let mut socket = socket();
        let chains = with_chains(&mut socket, &["A", "B"]);
        let [a, b] = chains.as_slice() else {
            panic!("{chains:?}")
        };
        let bad_match = xt::xt_match("no-such-match", 0, vec![0; 8]);
        let result = commit(
            &mut socket,
            &[
                append(a, vec![Expr::Counter, jump(b)]),
                Op::DeleteChain(b.clone()),
                append(a, vec![Expr::Counter, jump(&chain(V4, "nat", "MISSING"))]),
                append(a, vec![xt::comment("x"), bad_match]),
                Op::FlushChain(chain(V4, "nat", "GONE")),
                Op::DeleteRule {
                    chain: a.clone(),
                    handle: 999,
                },
                add_rule(a, Place::Before(999), vec![Expr::Counter]),
                Op::DeleteTable(table(V6, "nat")),
            ],
        );
        let lines: Vec<_> = refusals(result).iter().map(ToString::to_string).collect();
        let expected = [
            "delete chain ip nat B: Device or resource busy (it is still in use)",
            "add rule in chain ip nat A: No such file or directory (the chain, a chain or set it refers to, \
             or a kernel module for it is missing), at expression 2 (immediate)",
            "add rule in chain ip nat A: No such file or directory (the chain, a chain or set it refers to, \
             or a kernel module for it is missing), at expression 2 (match no-such-match)",
            "flush chain ip nat GONE: No such file or directory, at the chain's name",
            "delete rule 999 in chain ip nat A: No such file or directory, at the rule's handle",
            "insert rule in chain ip nat A: No such file or directory (the chain, a chain or set it \
             refers to, or a kernel module for it is missing), at the neighbouring rule's handle",
            "delete table ip6 nat: No such file or directory, at the table's name",
        ];
        assert_eq!(lines, expected);
    });
}

#[test]
fn a_batch_that_is_wrong_throughout_is_summed_up() {
    in_new_netns(|| {
        let mut socket = socket();
        let rule = append(&chain(V4, "nat", "A"), vec![Expr::Counter]);
        let error = commit(&mut socket, &vec![rule; 2000]).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("the kernel refused to add rule in chain ip nat A"));
        assert!(text.ends_with("; and 1997 more"), "{text}");
    });
}

#[test]
fn a_circle_of_chains_is_refused_at_the_rule_that_closes_it() {
    in_new_netns(|| {
        let mut socket = socket();
        let chains = with_chains(&mut socket, &["A", "B"]);
        let [a, b] = chains.as_slice() else {
            panic!("{chains:?}")
        };
        let output = chain(V4, "nat", "OUTPUT");
        let result = commit(
            &mut socket,
            &[
                add_base(&output, "nat", 3, -100),
                append(&output, vec![jump(a)]),
                append(a, vec![jump(b)]),
                append(b, vec![jump(a)]),
            ],
        );
        assert_eq!(
            result.unwrap_err().to_string(),
            "the kernel refused to add rule in chain ip nat B: Too many links \
             (chains jump in a circle, or too deep)"
        );
    });
}

#[test]
fn a_stale_generation_is_a_conflict_and_changes_nothing() {
    in_new_netns(|| {
        let mut socket = socket();
        with_chains(&mut socket, &["A"]);
        let planned_on = generation(&mut socket).unwrap();
        run("iptables", &["-t", "nat", "-N", "FOREIGN"]);
        let mut batch = Batch::new(Some(planned_on));
        batch.push(&add_chain(&chain(V4, "nat", "B"))).unwrap();
        let error = batch.commit(&mut socket).unwrap_err();
        assert!(matches!(error, CommitError::Conflict { expected } if expected == planned_on));
        assert!(error.wants_reread());
        assert!(!chain_names(&mut socket).contains(&"B".to_owned()));
    });
}

#[test]
fn batches_can_be_chained_by_the_generation_each_reports() {
    in_new_netns(|| {
        let mut socket = socket();
        with_chains(&mut socket, &[]);
        let mut at = generation(&mut socket).unwrap();
        for name in ["A", "B", "C"] {
            let mut batch = Batch::new(Some(at));
            batch.push(&add_chain(&chain(V4, "nat", name))).unwrap();
            at = batch.commit(&mut socket).unwrap().generation;
        }
        assert_eq!(chain_names(&mut socket), ["A", "B", "C"]);
    });
}

#[test]
fn echoes_give_the_handles_of_the_steps_that_asked() {
    in_new_netns(|| {
        let mut socket = socket();
        let chains = with_chains(&mut socket, &["A"]);
        let a = chains.first().unwrap();
        let mut batch = Batch::new(None);
        for index in 0..20_000 {
            let rule = append(a, vec![xt::comment("a rule of some size"), Expr::Counter]);
            if index % 2 == 0 {
                batch.push_echo(&rule).unwrap();
            } else {
                batch.push(&rule).unwrap();
            }
        }
        let handles = batch.commit(&mut socket).unwrap().handles;
        let listed = rules(&mut socket, a);
        let expected: Vec<_> = listed.into_iter().enumerate().step_by(2).collect();
        assert_eq!(handles, expected);
    });
}

#[test]
fn rules_go_where_their_place_says() {
    in_new_netns(|| {
        let mut socket = socket();
        let chains = with_chains(&mut socket, &["A"]);
        let a = chains.first().unwrap();
        let mut made = Vec::new();
        let mut add = |socket: &mut Socket, place| {
            let mut batch = Batch::new(None);
            batch
                .push_echo(&add_rule(a, place, vec![Expr::Counter]))
                .unwrap();
            let (_, handle) = *batch.commit(socket).unwrap().handles.first().unwrap();
            made.push(handle);
            handle
        };
        let middle = add(&mut socket, Place::Append);
        let last = add(&mut socket, Place::Append);
        let first = add(&mut socket, Place::Prepend);
        let before = add(&mut socket, Place::Before(middle));
        let after = add(&mut socket, Place::After(middle));
        assert_eq!(rules(&mut socket, a), [first, before, middle, after, last]);
        let delete = Op::DeleteRule {
            chain: a.clone(),
            handle: middle,
        };
        commit(&mut socket, &[delete]).unwrap();
        assert_eq!(rules(&mut socket, a), [first, before, after, last]);
        commit(&mut socket, &[Op::FlushChain(a.clone())]).unwrap();
        assert!(rules(&mut socket, a).is_empty());
    });
}

#[test]
fn adding_a_base_chain_again_leaves_its_policy() {
    in_new_netns(|| {
        let mut socket = socket();
        run("iptables", &["-P", "FORWARD", "DROP"]);
        let forward = chain(V4, "filter", "FORWARD");
        commit(&mut socket, &[add_base(&forward, "filter", 2, 0)]).unwrap();
        let mut policies = BTreeMap::new();
        let visit = &mut |chain: ChainView<'_>| {
            let accept = chain.base.is_some_and(|base| base.policy_accept);
            policies.insert(chain.name.to_owned(), accept);
        };
        dump_chains(&mut socket, &forward.table, visit).unwrap();
        assert_eq!(policies.get("FORWARD"), Some(&false));
    });
}

#[test]
fn a_hundred_thousand_messages_are_one_transaction() {
    in_new_netns(|| {
        let mut socket = socket();
        with_chains(&mut socket, &[]);
        let before = generation(&mut socket).unwrap();
        let mut batch = Batch::new(Some(before));
        for index in 0..2_000 {
            let chain = chain(V4, "nat", &format!("KUBE-SEP-{index:016}"));
            batch.push(&add_chain(&chain)).unwrap();
            for _ in 0..49 {
                let exprs = vec![
                    xt::comment("ns1/svc1:p80"),
                    Expr::Counter,
                    Expr::Verdict(Verdict::Return),
                ];
                batch.push(&append(&chain, exprs)).unwrap();
            }
        }
        let committed = batch.commit(&mut socket).unwrap();
        assert_eq!(committed.messages, 100_000);
        assert_eq!(committed.generation, before + 1);
        let mut count = 0;
        dump_rules(&mut socket, &table(V4, "nat"), None, &mut |_| count += 1).unwrap();
        assert_eq!(count, 98_000);
    });
}

#[test]
fn other_tables_and_families_are_not_shown() {
    in_new_netns(|| {
        let mut socket = socket();
        with_chains(&mut socket, &["A"]);
        run(
            "nft",
            &[
                "add table inet other; add table ip mine; add chain ip mine X; add rule ip mine X accept",
            ],
        );
        run("ip6tables", &["-t", "nat", "-N", "SIX"]);
        let mut names = Vec::new();
        let visit = &mut |table: TableView<'_>| names.push(table.name.to_owned());
        dump_tables(&mut socket, V4, visit).unwrap();
        assert_eq!(names, ["nat", "mine"]);
        assert_eq!(chain_names(&mut socket), ["A"]);
        let mut rules = 0;
        dump_rules(&mut socket, &table(V4, "nat"), None, &mut |_| rules += 1).unwrap();
        assert_eq!(rules, 0);
    });
}

#[test]
fn expressions_beyond_the_vocabulary_are_kept_as_they_are() {
    in_new_netns(|| {
        let script = "add table ip nat; add chain ip nat X; \
                      add rule ip nat X limit rate 1/second ct mark set 1 numgen inc mod 2 1 accept";
        run("nft", &[script]);
        let mut names = Vec::new();
        let visit = &mut |rule: RuleView<'_>| {
            for expr in rule.body.exprs {
                if let Expr::Other { name, data } = expr {
                    assert!(!data.is_empty());
                    names.push(name.into_string());
                }
            }
        };
        dump_rules(&mut socket(), &table(V4, "nat"), None, visit).unwrap();
        assert_eq!(names, ["limit", "immediate", "ct", "numgen"]);
    });
}

#[test]
fn a_dump_during_foreign_commits_is_read_again_until_it_is_whole() {
    in_new_netns(|| {
        let mut socket = socket();
        let chains = with_chains(&mut socket, &["A"]);
        let a = chains.first().unwrap();
        let rule = append(a, vec![xt::comment("some text"), Expr::Counter]);
        commit(&mut socket, &vec![rule; 20_000]).unwrap();
        let attempts = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            // Threads start in the namespace of the thread that starts them.
            scope.spawn(|| {
                let mut other = kernel_support::socket();
                let x = chain(V4, "other", "X");
                commit(&mut other, &[Op::AddTable(x.table.clone())]).unwrap();
                while attempts.load(Ordering::Relaxed) < 3 {
                    commit(&mut other, &[add_chain(&x)]).unwrap();
                    commit(&mut other, &[Op::DeleteChain(x.clone())]).unwrap();
                }
            });
            let (at, count) = read_consistently(&mut socket, |socket| {
                attempts.fetch_add(1, Ordering::Relaxed);
                let mut count = 0;
                dump_rules(socket, &a.table, None, &mut |_| count += 1)?;
                Ok(count)
            })
            .unwrap();
            assert_eq!(count, 20_000);
            assert!(attempts.load(Ordering::Relaxed) > 1);
            assert_eq!(at, generation(&mut socket).unwrap());
        });
    });
}

#[test]
fn what_cannot_be_encoded_is_refused_before_it_is_sent() {
    let a = chain(V4, "nat", "A");
    let cases = [
        (
            add_chain(&chain(V4, "nat", &"x".repeat(256))),
            "is longer than 255 bytes",
        ),
        (add_chain(&chain(V4, "nat", "a\0b")), "holds a NUL byte"),
        (
            append(&a, vec![xt::xt_match("x", 0, vec![0; 70_000])]),
            "more than one attribute holds",
        ),
        (
            append(&a, vec![xt::xt_match(&"x".repeat(29), 0, vec![])]),
            "is longer than 28 bytes",
        ),
        (
            append(&a, vec![xt::cmp(&[0; 65])]),
            "at most 64 are possible",
        ),
        (
            append(
                &a,
                vec![Expr::Other {
                    name: "limit".into(),
                    data: Box::default(),
                }],
            ),
            "not one that portolan writes",
        ),
    ];
    let mut batch = Batch::new(None);
    let empty = batch.len_bytes();
    for (op, words) in cases {
        let error = batch.push(&op).unwrap_err();
        let text = format!("{error}: {}", error.reason);
        assert!(text.contains(words) && text.contains("ip nat"), "{text}");
    }
    assert_eq!((batch.len(), batch.len_bytes()), (0, empty));
}

//! Transactions on nf_tables in real network namespaces.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]

#[path = "kernel_nft/dumps.rs"]
mod dumps;
mod kernel_support;
#[path = "kernel_nft/refused.rs"]
mod refused;

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

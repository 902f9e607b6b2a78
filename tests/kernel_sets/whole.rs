//! A whole table of `nft -f`, read, written again elsewhere and compared.

use std::collections::BTreeSet;

use portolan::kernel::Socket;
use portolan::kernel::nft::*;
use portolan::model::IpFamily::{self, V4, V6};
use portolan::plan::expr::Expr;
use portolan::plan::op::{ChainRef, Hook, Op, Place, SetRef, TableRef};

use crate::kernel_support::*;
use crate::{INTERVAL, commit, dumped};

/// Everything in a table, as the steps that write it.
fn steps_of(socket: &mut Socket, table: &TableRef) -> Vec<Op> {
    let mut ops = vec![Op::AddTable(table.clone())];
    let mut sets = Vec::new();
    dump_sets(socket, table, &mut |view| {
        let set = SetRef {
            table: table.clone(),
            name: view.name.into(),
        };
        sets.push((set, view.spec(), view.count));
    })
    .unwrap();
    for (set, spec, count) in sets {
        let elements: Vec<_> = dumped(socket, &set).into_iter().collect();
        if let Some(count) = count
            && spec.flags & INTERVAL == 0
        {
            assert_eq!(usize::try_from(count).unwrap(), elements.len(), "{set:?}");
        }
        let added = set.clone();
        ops.push(Op::AddSet { set: added, spec });
        ops.push(Op::AddElements { set, elements });
    }
    let chain = |name: &str| ChainRef {
        table: table.clone(),
        name: name.into(),
    };
    dump_chains(socket, table, &mut |view| {
        ops.push(Op::AddChain {
            chain: chain(view.name),
            hook: view.base.map(|base| Hook {
                chain_type: match base.chain_type {
                    "nat" => "nat",
                    "filter" => "filter",
                    other => panic!("chain type {other}"),
                },
                hook: base.hook,
                priority: base.priority,
            }),
        });
    })
    .unwrap();
    dump_rules(socket, table, None, &mut |view| {
        ops.push(Op::AddRule {
            chain: chain(view.chain),
            place: Place::Append,
            rule: view.body,
        });
    })
    .unwrap();
    ops
}

/// What is not in the vocabulary.
fn unknown(ops: &[Op]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for op in ops {
        if let Op::AddRule { rule, .. } = op {
            for expr in &rule.exprs {
                if let Expr::Other { name, data } = expr {
                    names.insert(format!("{name} {data:02x?}"));
                }
            }
        }
    }
    names
}

/// `nft list ruleset` with everything in numbers.
fn listed() -> String {
    run("nft", &["-n", "list", "ruleset"])
}

/// Lists the same whatever the order of the elements of a set is, which the kernel takes from
/// where they are in memory.
fn sorted(listing: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut elements: Option<String> = None;
    for line in listing.lines() {
        if line.trim_start().starts_with("elements = {") {
            elements = Some(String::new());
        }
        let Some(so_far) = &mut elements else {
            lines.push(line.to_owned());
            continue;
        };
        so_far.push_str(line.trim());
        so_far.push(' ');
        if line.trim_end().ends_with('}') {
            let inner = so_far.split_once('{').unwrap().1;
            let inner = inner.trim_end().trim_end_matches('}');
            let mut parts: Vec<_> = inner.split(',').map(str::trim).collect();
            parts.sort_unstable();
            lines.push(format!("elements: {parts:?}"));
            elements = None;
        }
    }
    lines
}

fn round_trip(file: &str, family: IpFamily) {
    let mut first = (Vec::new(), String::new());
    in_new_netns(|| {
        run("nft", &["-f", file]);
        let mut socket = socket();
        first = (steps_of(&mut socket, &table(family, "portolan")), listed());
    });
    let (ops, listing) = first;
    if listing.is_empty() {
        return;
    }
    assert_eq!(unknown(&ops), BTreeSet::new());
    let rules = ops.iter().filter(|op| matches!(op, Op::AddRule { .. }));
    assert!(rules.count() > 150);
    in_new_netns(|| {
        let mut socket = socket();
        commit(&mut socket, &ops).unwrap();
        let again = steps_of(&mut socket, &table(family, "portolan"));
        assert_eq!(again, ops);
        // Steps on tables do not carry the table's comment.
        let without_comment: Vec<_> = sorted(&listing)
            .into_iter()
            .filter(|line| line != "\tcomment \"Kubernetes services, layout 1\"")
            .collect();
        assert_eq!(sorted(&listed()), without_comment);
    });
}

#[test]
fn a_whole_table_is_read_and_written_again_the_same() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/kernel_data/nftables-layout.nft"
    );
    round_trip(file, V4);
}

#[test]
fn so_is_one_of_the_other_family() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/kernel_data/nftables-layout-v6.nft"
    );
    round_trip(file, V6);
}

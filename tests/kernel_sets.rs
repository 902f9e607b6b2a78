//! Sets, maps, elements and native expressions in real network namespaces.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]

mod kernel_support;

use std::collections::BTreeSet;

use kernel_support::*;
use portolan::kernel::Socket;
use portolan::kernel::nft::fake::FakeKernel;
use portolan::kernel::nft::*;
use portolan::model::IpFamily::{self, V4, V6};
use portolan::plan::expr::{Expr, RuleBody};
use portolan::plan::op::{ChainRef, Element, Hook, Op, Place, SetRef, SetSpec, TableRef};

/// `NFT_SET_INTERVAL`.
const INTERVAL: u32 = 4;
/// `NFT_SET_MAP`.
const MAP: u32 = 8;

fn set(name: &str) -> SetRef {
    SetRef {
        table: table(V4, "t"),
        name: name.into(),
    }
}

/// A set of IPv4 addresses.
fn addresses() -> SetSpec {
    SetSpec {
        key_type: 7,
        key_len: 4,
        ..SetSpec::default()
    }
}

/// A map of IPv4 addresses to IPv4 addresses.
fn address_map() -> SetSpec {
    SetSpec {
        flags: MAP,
        data: Some((7, 4)),
        ..addresses()
    }
}

/// A set without a name of its own: `NFT_SET_ANONYMOUS` and `NFT_SET_CONSTANT`.
fn nameless() -> SetSpec {
    SetSpec {
        flags: 3,
        ..addresses()
    }
}

fn add_set(name: &str, spec: SetSpec) -> Op {
    let set = set(name);
    Op::AddSet { set, spec }
}

fn element(number: u32, data: Option<u32>, comment: Option<&str>) -> Element {
    Element {
        key: number.to_be_bytes().into(),
        data: data.map(|data| data.to_be_bytes().into()),
        interval_end: false,
        comment: comment.map(Into::into),
    }
}

fn add(name: &str, elements: Vec<Element>) -> Op {
    let set = set(name);
    Op::AddElements { set, elements }
}

fn delete(name: &str, elements: Vec<Element>) -> Op {
    let set = set(name);
    Op::DeleteElements { set, elements }
}

fn plain(numbers: std::ops::Range<u32>) -> Vec<Element> {
    numbers.map(|number| element(number, None, None)).collect()
}

fn commit(kernel: &mut impl NftKernel, ops: &[Op]) -> Result<Committed, CommitError> {
    let mut batch = kernel.batch(None);
    for op in ops {
        batch.push(op).unwrap();
    }
    kernel.commit(batch)
}

fn refusals(result: Result<Committed, CommitError>) -> Vec<Refusal> {
    match result.unwrap_err() {
        CommitError::Refused { refusals, .. } => refusals,
        other => panic!("{other:?}"),
    }
}

fn dumped(kernel: &mut impl NftKernel, set: &SetRef) -> BTreeSet<Element> {
    let read = read_consistently(kernel, |kernel| {
        let mut elements = BTreeSet::new();
        let visit = &mut |element: ElementView<'_>| {
            assert!(
                elements.insert(element.to_element()),
                "{element:?} came twice"
            );
        };
        kernel.dump_elements(set, visit)?;
        Ok(elements)
    });
    read.unwrap().1
}

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

#[test]
fn steps_of_many_messages_keep_count() {
    in_new_netns(|| {
        let mut socket = socket();
        let many = plain(0..20_000);
        let handles = {
            let mut batch = Batch::new(None);
            batch.push(&Op::AddTable(table(V4, "t"))).unwrap();
            batch.push(&add_set("a", addresses())).unwrap();
            batch.push(&add("a", Vec::new())).unwrap();
            batch.push(&add("a", many.clone())).unwrap();
            batch.push_echo(&add_set("b", addresses())).unwrap();
            batch.push_echo(&add("b", plain(0..5))).unwrap();
            assert_eq!(batch.len(), 6);
            batch.commit(&mut socket).unwrap().handles
        };
        let mut sets = Vec::new();
        dump_sets(&mut socket, &table(V4, "t"), &mut |set| {
            sets.push((set.name.to_owned(), set.handle, set.count));
        })
        .unwrap();
        let b = sets.iter().find(|(name, ..)| name == "b").unwrap();
        assert_eq!(handles, [(4, b.1)]);
        let counts: Vec<_> = sets.iter().map(|(_, _, count)| *count).collect();
        assert!(counts == [Some(20_000), Some(5)] || counts == [None, None]);
        assert_eq!(dumped(&mut socket, &set("a")), many.into_iter().collect());
    });
}

/// The kernel grows the hash table of a set in the background, and a dump restarts its walk for
/// every datagram: what it lists meanwhile came twice, and as many other elements never. On a busy
/// machine the background is late enough for that to be seen.
#[test]
fn a_set_whose_hash_table_grows_is_listed_whole_or_not_at_all() {
    in_new_netns(|| {
        let mut socket = socket();
        commit(&mut socket, &[Op::AddTable(table(V4, "t"))]).unwrap();
        for round in 0..20 {
            // Each just beyond a size at which the table grows.
            let many = 1 + (3 << (9 + round % 5));
            commit(
                &mut socket,
                &[add_set("a", addresses()), add("a", plain(0..many))],
            )
            .unwrap();
            let mut listed = Vec::new();
            let visit = &mut |element: ElementView<'_>| listed.push(element.to_element());
            match dump_elements(&mut socket, &set("a"), visit) {
                Ok(()) => {
                    listed.sort_unstable();
                    assert_eq!(listed.len(), many as usize, "round {round}");
                    assert!(listed == plain(0..many), "round {round}");
                }
                Err(ReadError::Interrupted) => {}
                Err(other) => panic!("{other}"),
            }
            // It comes to an end.
            let whole = dumped(&mut socket, &set("a"));
            assert_eq!(whole, plain(0..many).into_iter().collect());
            commit(&mut socket, &[Op::DeleteSet(set("a"))]).unwrap();
        }
    });
}

#[test]
fn a_refused_element_is_named_and_undoes_the_batch() {
    in_new_netns(|| {
        let mut socket = socket();
        let start = [
            Op::AddTable(table(V4, "t")),
            add_set("m", address_map()),
            add("m", vec![element(7, Some(1), Some("ns/name:http"))]),
        ];
        commit(&mut socket, &start).unwrap();
        let mut many = plain(0..20_000);
        for element in &mut many {
            element.data = Some([0; 4].into());
        }
        let last = element(7, Some(2), Some("ns/other:http"));
        many.retain(|element| *element.key != *last.key);
        many.push(last);
        let ops = [
            add_set("s", addresses()),
            add("m", many),
            delete("m", vec![element(99_999, None, None)]),
            add("missing", plain(0..1)),
            Op::DeleteSet(set("missing")),
        ];
        let before = generation(&mut socket).unwrap();
        let refused = refusals(commit(&mut socket, &ops));
        assert_eq!(generation(&mut socket).unwrap(), before);
        let seen: Vec<_> = refused.iter().map(|r| (r.op, r.to_string())).collect();
        let expected = [
            (Some(1), "add elements of set ip t m: File exists"),
            (Some(2), "delete elements of set ip t m: No such file"),
            (Some(3), "add elements of set ip t missing: No such file"),
            (Some(4), "delete set ip t missing: No such file"),
        ];
        assert_eq!(seen.len(), expected.len(), "{seen:#?}");
        for ((op, line), (expected_op, start)) in seen.iter().zip(expected) {
            assert_eq!(*op, expected_op, "{seen:#?}");
            assert!(line.starts_with(start), "{line}");
        }
        let part = |at: usize| refused.get(at).unwrap().part.as_deref();
        assert_eq!(part(0), Some("element 0x00000007 \"ns/other:http\""));
        assert_eq!(part(1), Some("element 0x0001869f"));
        // Linux 6.1 does not say what is wrong with a step on a set that is not there.
        assert!(
            matches!(part(2), None | Some("the set's name")),
            "{seen:#?}"
        );
        assert_eq!(dumped(&mut socket, &set("m")).len(), 1);
    });
}

#[test]
fn elements_are_found_by_key() {
    in_new_netns(|| {
        let mut socket = socket();
        let elements: Vec<_> = (0..3000)
            .map(|n| element(n, Some(n + 1), (n % 7 == 0).then_some("seventh")))
            .collect();
        let start = [
            Op::AddTable(table(V4, "t")),
            add_set("m", address_map()),
            add("m", elements.clone()),
        ];
        commit(&mut socket, &start).unwrap();
        let wanted: Vec<_> = (0..3100u32).map(u32::to_be_bytes).collect();
        let keys: Vec<&[u8]> = wanted.iter().map(|key| &key[..]).collect();
        let mut found = Vec::new();
        let mut missing = 0;
        let mut next = 0;
        get_elements(&mut socket, &set("m"), &keys, &mut |index, view| {
            assert_eq!(index, next);
            next += 1;
            match view {
                Some(view) => found.push(view.to_element()),
                None => missing += 1,
            }
        })
        .unwrap();
        assert_eq!((found, missing), (elements, 100));
        let mut none = 0;
        let all_missing =
            &mut |_, view: Option<ElementView<'_>>| none += usize::from(view.is_none());
        get_elements(&mut socket, &set("gone"), &[&[0; 4]], all_missing).unwrap();
        assert_eq!(none, 1);
    });
}

#[test]
fn what_is_not_there_has_no_sets_and_no_elements() {
    in_new_netns(|| {
        let mut socket = socket();
        let mut sets = 0;
        dump_sets(&mut socket, &table(V6, "t"), &mut |_| sets += 1).unwrap();
        assert_eq!(sets, 0);
        assert!(dumped(&mut socket, &set("s")).is_empty());
    });
}

#[test]
fn a_commit_of_elements_reports_its_generation() {
    in_new_netns(|| {
        let mut socket = socket();
        commit(
            &mut socket,
            &[Op::AddTable(table(V4, "t")), add_set("s", addresses())],
        )
        .unwrap();
        let firsts = [
            add("s", plain(0..30_000)),
            delete("s", plain(0..30_000)),
            Op::DeleteSet(set("s")),
            add_set("s", addresses()),
        ];
        for first in firsts {
            let before = generation(&mut socket).unwrap();
            let mut batch = Batch::new(Some(before));
            batch.push(&first).unwrap();
            let committed = batch.commit(&mut socket).unwrap();
            let now = generation(&mut socket).unwrap();
            assert_eq!(committed.generation, now);
            assert_eq!(now, before + 1);
        }
    });
}

fn rule_with(expr: Expr) -> Op {
    Op::AddRule {
        chain: chain(V4, "t", "c"),
        place: Place::Append,
        rule: RuleBody {
            exprs: vec![
                Expr::Payload {
                    base: portolan::plan::expr::PayloadBase::Network,
                    offset: 16,
                    len: 4,
                    dreg: 1,
                },
                expr,
            ],
            ..RuleBody::default()
        },
    }
}

fn lookup(name: &str, dreg: Option<u32>, not: bool) -> Op {
    let set = name.into();
    rule_with(Expr::Lookup {
        set,
        sreg: 1,
        dreg,
        not,
    })
}

/// What a kernel shows of table `t`.
type Shown = (
    Vec<(String, u64, Option<u32>, SetSpec)>,
    Vec<BTreeSet<Element>>,
);

fn shown(kernel: &mut impl NftKernel) -> Shown {
    let mut sets = Vec::new();
    let visit = &mut |view: SetView<'_>| {
        sets.push((view.name.to_owned(), view.handle, view.count, view.spec()));
    };
    kernel.dump_sets(&table(V4, "t"), visit).unwrap();
    let names: Vec<_> = sets.iter().map(|(name, ..)| set(name)).collect();
    let elements = names.iter().map(|set| dumped(kernel, set)).collect();
    (sets, elements)
}

#[test]
fn the_memory_and_the_kernel_refuse_the_same() {
    let sized = SetSpec {
        size: Some(2),
        ..addresses()
    };
    let transactions: Vec<Vec<Op>> = vec![
        vec![add_set("s", addresses())],
        vec![
            Op::AddTable(table(V4, "t")),
            add_chain(&chain(V4, "t", "c")),
        ],
        vec![add_set("s", addresses()), add_set("m", address_map())],
        vec![add_set("s", addresses())],
        vec![add_set("s", address_map())],
        vec![add("s", plain(0..3)), add("missing", plain(0..3))],
        vec![add("s", plain(0..3)), add("s", plain(2..5))],
        vec![add("s", plain(0..3))],
        vec![add("s", vec![element(9, Some(1), None)])],
        vec![add("m", vec![element(9, None, None)])],
        vec![add("m", vec![element(9, Some(1), Some("x"))])],
        vec![add("m", vec![element(9, Some(2), None)])],
        vec![
            delete("m", vec![element(9, None, None)]),
            add("m", vec![element(9, Some(2), None)]),
        ],
        vec![delete("s", plain(4..6))],
        vec![delete("s", plain(4..5)), delete("missing", plain(4..5))],
        vec![delete("s", plain(4..5))],
        vec![delete("s", Vec::new())],
        vec![lookup("missing", None, false)],
        vec![lookup("s", Some(1), false)],
        vec![lookup("m", Some(1), true)],
        vec![lookup("s", None, true), lookup("m", Some(1), false)],
        vec![Op::DeleteSet(set("s"))],
        vec![Op::DeleteSet(set("missing"))],
        vec![Op::FlushChain(chain(V4, "t", "c")), Op::DeleteSet(set("s"))],
        vec![add_set("sized", sized), add("sized", plain(0..3))],
        // A nameless set, as `ip daddr { … }` in a rule makes it.
        vec![
            add_set("__set0", nameless()),
            add("__set0", plain(0..3)),
            lookup("__set0", None, false),
        ],
        vec![add_set("__set0", nameless())],
        vec![add("__set0", plain(3..4))],
        vec![delete("__set0", plain(0..1))],
        vec![Op::DeleteSet(set("__set0"))],
        vec![lookup("__set0", None, false)],
        vec![
            Op::FlushChain(chain(V4, "t", "c")),
            add_set("__set0", nameless()),
            add("__set0", plain(5..7)),
            lookup("__set0", None, false),
        ],
        vec![Op::FlushChain(chain(V4, "t", "c"))],
        vec![Op::DeleteTable(table(V4, "t"))],
    ];
    in_new_netns(|| {
        let mut kernel = socket();
        let mut fake = FakeKernel::new();
        for ops in transactions {
            let ours = commit(&mut fake, &ops);
            let seen = commit(&mut kernel, &ops);
            match (&seen, &ours) {
                (Ok(seen), Ok(ours)) => assert_eq!(seen.generation, ours.generation, "{ops:?}"),
                (
                    Err(CommitError::Refused { refusals: seen, .. }),
                    Err(CommitError::Refused { refusals: ours, .. }),
                ) => {
                    let errnos = |list: &[Refusal]| {
                        // The table that is added before elements is refused apart.
                        let steps = list.iter().filter(|r| r.op.is_some());
                        steps.map(|r| (r.op, r.errno)).collect::<Vec<_>>()
                    };
                    assert_eq!(errnos(seen), errnos(ours), "{ops:?}");
                }
                _ => panic!("{ops:?}: {seen:?}, in memory {ours:?}"),
            }
            let mut ours = shown(&mut fake);
            let seen = shown(&mut kernel);
            for (in_memory, in_kernel) in ours.0.iter_mut().zip(&seen.0) {
                // Not every kernel reports it.
                in_memory.2 = in_memory.2.filter(|_| in_kernel.2.is_some());
            }
            assert_eq!(seen, ours, "{ops:?}");
        }
    });
}

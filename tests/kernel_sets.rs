//! Sets, maps, elements and native expressions in real network namespaces.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]

mod kernel_support;
#[path = "kernel_sets/memory.rs"]
mod memory;
#[path = "kernel_sets/whole.rs"]
mod whole;

use std::collections::BTreeSet;

use kernel_support::*;
use portolan::kernel::nft::*;
use portolan::model::IpFamily::{V4, V6};
use portolan::plan::op::{Element, Op, SetRef, SetSpec};

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

//! The table kept in memory against the kernel: random changes are committed over a real socket,
//! and what the kernel then holds is what a fresh translation asks for.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]

mod kernel_support;
mod nftables_support;

use kernel_support::{in_new_netns, socket};
use nftables_support::cluster::{Change, change, changes, cluster};
use nftables_support::kernel::{commit, read};
use nftables_support::{assert_same, ops, options_of};
use portolan::kernel::Socket;
use portolan::kernel::nft::{NftKernel, dump_sets, read_consistently};
use portolan::model::{IpFamily, Snapshot};
use portolan::plan::nftables::{NftRuleset, TableState};
use portolan::plan::op::{Op, SetRef};
use portolan::translate::nftables::{
    Adopted, Adoption, LiveTable, NftablesOptions, NftablesRuleset,
};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

fn sequences() -> u32 {
    let cases = std::env::var("PROPTEST_CASES").ok();
    cases.and_then(|text| text.parse().ok()).unwrap_or(120)
}

fn fresh(snapshot: &Snapshot, options: &NftablesOptions) -> TableState {
    TableState::of(&NftablesRuleset::new(snapshot, options))
}

/// Adopts what the kernel holds: asks by key, and looks for strangers unless the kernel counts
/// just as many elements as were found.
fn adopt(socket: &mut Socket, live: &mut LiveTable) -> Adopted {
    let table = live.table();
    let of = |name: &str| SetRef {
        table: table.clone(),
        name: name.into(),
    };
    let present = read(socket, &table);
    let ask = &mut |set: &str, keys: &[&[u8]], visit: &mut dyn FnMut(usize, Option<_>)| {
        socket.get_elements(&of(set), keys, &mut |index, element| {
            visit(index, element.map(|element| element.to_element()));
        })
    };
    let Adoption::Keep(mut adopted) = live.adopt(&present, ask).unwrap() else {
        panic!("another fixed part");
    };
    let mut counts = Vec::new();
    dump_sets(socket, &table, &mut |view| {
        counts.push((view.name.to_owned(), view.count));
    })
    .unwrap();
    for (set, count) in counts {
        let Some(found) = adopted.found.get(&*set) else {
            continue;
        };
        // Kernels that do not count are asked for everything.
        let count = count.map(|count| usize::try_from(count).unwrap());
        if count == Some(*found) {
            continue;
        }
        let (_, strangers) = read_consistently(socket, |socket| {
            live.strangers(&set, |visit| {
                socket.dump_elements(&of(&set), &mut |view| visit(view.to_element()))
            })
        })
        .unwrap();
        if let Some(count) = count {
            assert_eq!(count - found, strangers.len(), "{set}");
        }
        adopted.delete(&set, strangers);
    }
    adopted
}

/// Commits a sequence of changes one by one, then adopts the result for a last one.
fn follow(socket: &mut Socket, start: &Snapshot, sequence: &[Vec<Change>], family: IpFamily) {
    let options = options_of(family);
    let mut snapshot = start.clone();
    let mut live = LiveTable::new(&snapshot, options.clone());
    let table = live.table();
    commit(socket, &ops(|emit| live.load(false, emit)));
    let (last, changes) = sequence.split_last().unwrap();
    for changes in changes {
        let touched = change(&mut snapshot, changes);
        let update = live.update(&snapshot, &touched);
        commit(socket, &ops(|emit| update.delta.ops(emit)));
    }
    let present = read(socket, &table);
    assert_same(&present, &fresh(&snapshot, &options));
    live.for_each_element(&mut |set, element| {
        assert!(
            present.sets[set].sorted().contains(&element),
            "{set}: {element:?}"
        );
    });

    let mut restarted = LiveTable::new(&snapshot, options.clone());
    assert!(adopt(socket, &mut restarted).delta.is_empty());
    change(&mut snapshot, last);
    let mut restarted = LiveTable::new(&snapshot, options.clone());
    let adopted = adopt(socket, &mut restarted);
    commit(socket, &ops(|emit| adopted.delta.ops(emit)));
    assert_same(&read(socket, &table), &fresh(&snapshot, &options));

    // Written anew in place of itself.
    commit(socket, &ops(|emit| restarted.load(true, emit)));
    assert_same(&read(socket, &table), &fresh(&snapshot, &options));
    commit(socket, &[Op::DeleteTable(table)]);
}

#[test]
fn any_sequence_of_commits_ends_where_a_fresh_translation_starts() {
    in_new_netns(|| {
        let mut socket = socket();
        let mut runner = TestRunner::default();
        let strategy = (cluster(), proptest::collection::vec(changes(), 1..12));
        for number in 0..sequences() {
            let tree = strategy.new_tree(&mut runner).unwrap();
            let (start, sequence) = tree.current();
            for family in IpFamily::ALL {
                let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    follow(&mut socket, &start, &sequence, family);
                }));
                if let Err(panic) = outcome {
                    eprintln!("sequence {number}, {family}: {start:#?} {sequence:#?}");
                    std::panic::resume_unwind(panic);
                }
            }
        }
    });
}

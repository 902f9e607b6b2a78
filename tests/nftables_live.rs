//! The table kept in memory: any sequence of changes leads to the table that a fresh translation
//! gives, by the fewest elements.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod nftables_support;

use std::collections::BTreeSet;
use std::convert::Infallible;

use nftables_support::cluster::{change, changes, cluster};
use nftables_support::{apply, assert_same, ops, options_of};
use portolan::model::{IpFamily, Node, Snapshot};
use portolan::plan::nftables::{ElementKey, TableState, plan};
use portolan::translate::nftables::{
    Adopted, Adoption, LiveTable, NftablesOptions, NftablesRuleset, Replacement,
};
use proptest::prelude::*;

fn fresh(snapshot: &Snapshot, options: &NftablesOptions) -> TableState {
    TableState::of(&NftablesRuleset::new(snapshot, options))
}

/// The table that loading writes.
fn loaded(live: &LiveTable) -> TableState {
    let mut table = TableState::of(live);
    table = TableState::new(table.table);
    apply(&mut table, &ops(|emit| live.load(false, emit)));
    table
}

/// Adopts a table that a snapshot's translation would write, as the agent does.
fn adopt(live: &mut LiveTable, table: &TableState) -> Option<Adopted> {
    let ask = &mut |set: &str, keys: &[&[u8]], visit: &mut dyn FnMut(usize, Option<_>)| {
        let elements = &table.sets[set].elements;
        for (index, key) in keys.iter().enumerate() {
            let key = ElementKey {
                key: (*key).into(),
                interval_end: false,
            };
            visit(index, elements.get(&key).map(|value| value.of(&key)));
        }
        Ok::<_, Infallible>(())
    };
    let Adoption::Keep(mut adopted) = live.adopt(table, ask).unwrap() else {
        return None;
    };
    for (set, found) in adopted.found.clone() {
        let present = &table.sets[&set];
        let strangers = live.strangers(&set, |visit| {
            present.sorted().into_iter().for_each(visit);
            Ok::<_, Infallible>(())
        });
        let strangers = strangers.unwrap();
        assert_eq!(present.elements.len() - found, strangers.len(), "{set}");
        adopted.delete(&set, strangers);
    }
    Some(adopted)
}

fn follow(start: &Snapshot, sequence: &[Vec<nftables_support::cluster::Change>], family: IpFamily) {
    let options = options_of(family);
    let mut snapshot = start.clone();
    let mut live = LiveTable::new(&snapshot, options.clone());
    let mut table = loaded(&live);
    assert_same(&table, &fresh(&snapshot, &options));
    for changes in sequence {
        let touched = change(&mut snapshot, changes);
        let update = live.update(&snapshot, &touched);
        let desired = fresh(&snapshot, &options);
        let least = plan(&desired, Some(&table));
        assert_eq!(update.delta.counts(), least.counts());
        assert_eq!(update.delta.is_empty(), least.is_empty());
        apply(&mut table, &ops(|emit| update.delta.ops(emit)));
        assert_same(&table, &desired);
        assert_eq!(
            TableState::of(&live),
            TableState {
                chain_order: TableState::of(&live).chain_order,
                ..table.clone()
            }
        );
        let ruleset = NftablesRuleset::new(&snapshot, &options);
        assert_eq!(live.conflicts(), ruleset.conflicts());
    }
}

/// So many cases unless the environment says otherwise: each has many steps.
fn few(cases: u32) -> ProptestConfig {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig::with_cases(cases),
    }
}

proptest! {
    #![proptest_config(few(50))]

    #[test]
    fn any_sequence_of_changes_ends_where_a_fresh_translation_starts(
        start in cluster(),
        sequence in proptest::collection::vec(changes(), 1..40),
    ) {
        for family in IpFamily::ALL {
            follow(&start, &sequence, family);
        }
    }

    #[test]
    fn a_table_of_another_state_is_adopted_by_what_differs(
        before in cluster(), present in proptest::collection::vec(changes(), 0..4),
        after in proptest::collection::vec(changes(), 0..3),
    ) {
        for family in IpFamily::ALL {
            let options = options_of(family);
            let mut snapshot = before.clone();
            // Slots of the present table are in the order of its history.
            let mut live = LiveTable::new(&snapshot, options.clone());
            for changes in &present {
                let touched = change(&mut snapshot, changes);
                live.update(&snapshot, &touched);
            }
            let mut table = TableState::of(&live);
            let mut restarted = LiveTable::new(&snapshot, options.clone());
            prop_assert!(adopt(&mut restarted, &table).unwrap().delta.is_empty());
            prop_assert_eq!(TableState::of(&restarted), table.clone());

            for changes in &after {
                change(&mut snapshot, changes);
            }
            let desired = fresh(&snapshot, &options);
            let mut restarted = LiveTable::new(&snapshot, options);
            let adopted = adopt(&mut restarted, &table).unwrap();
            prop_assert_eq!(adopted.delta.counts(), plan(&desired, Some(&table)).counts());
            apply(&mut table, &ops(|emit| adopted.delta.ops(emit)));
            assert_same(&table, &desired);
            prop_assert_eq!(TableState::of(&restarted), table);
        }
    }

    #[test]
    fn other_options_change_elements_or_replace_the_table(
        before in cluster(), changes in changes(),
        zone in any::<bool>(), addresses in any::<bool>(), masquerade_all in any::<bool>(),
    ) {
        for family in IpFamily::ALL {
            let options = options_of(family);
            let mut snapshot = before.clone();
            let mut live = LiveTable::new(&snapshot, options.clone());
            let mut table = TableState::of(&live);
            change(&mut snapshot, &changes);
            let mut new = options.clone();
            new.masquerade_all = masquerade_all;
            new.node.zone = zone.then(|| "east".into());
            if addresses {
                new.node = Node { addresses: Vec::new(), name: "there".into(), ..new.node };
                new.node_port_addresses = options_of(family).node_port_addresses;
            }
            match live.replace(&snapshot, new.clone()) {
                Replacement::Table => {
                    prop_assert!(masquerade_all);
                    apply(&mut table, &ops(|emit| live.load(true, emit)));
                }
                Replacement::Update(update) => {
                    prop_assert!(!masquerade_all);
                    apply(&mut table, &ops(|emit| update.delta.ops(emit)));
                }
            }
            assert_same(&table, &fresh(&snapshot, &new));
        }
    }
}

#[test]
fn a_table_of_other_rules_is_not_adopted() {
    let options = options_of(IpFamily::V4);
    let mut live = LiveTable::new(&Snapshot::default(), options);
    let mut table = TableState::of(&live);
    assert!(adopt(&mut live, &table).is_some());
    table.chains.get_mut("services").unwrap().rules.pop();
    assert!(adopt(&mut live, &table).is_none());
    let untouched = live.update(&Snapshot::default(), &BTreeSet::new());
    assert!(untouched.delta.is_empty());
}

//! Any sequence of changes ends where a fresh start begins.

use portolan::agent::run::programmer::Programmer;
use portolan::model::{Snapshot, Touched};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use super::support::{add_service, assert_in_force, assert_same, node, programmer, saved, touched};
use crate::cluster::{Change, change, changes, cluster};
use crate::kernel_support::{in_new_netns, run};

fn sequences() -> u32 {
    let cases = std::env::var("PROPTEST_CASES").ok();
    cases.and_then(|text| text.parse().ok()).unwrap_or(60)
}

/// Follows a sequence, then starts anew with its end.
fn follow(start: &Snapshot, sequence: &[Vec<Change>]) {
    let mut snapshot = start.clone();
    snapshot.nodes.insert("here".into(), node());
    let mut live = programmer();
    let mut sizes = live.start(&snapshot).unwrap().sizes;
    for changes in sequence {
        let services = change(&mut snapshot, changes);
        let done = live.update(&snapshot, &touched(services)).unwrap();
        assert!(!done.full, "everything was compared: {changes:#?}");
        assert!(done.transactions <= 1);
        if done.transactions > 0 {
            sizes = done.sizes;
        }
    }
    assert_in_force(&snapshot);
    assert!(live.listen().unwrap().is_empty(), "own changes are heard");
    assert!(!live.disturbed().unwrap());
    let followed = saved();
    live.cleanup().unwrap();
    let mut fresh = programmer();
    let started = fresh.start(&snapshot).unwrap();
    assert_same(&followed, &saved());
    assert_eq!(sizes, started.sizes, "counts kept, counts anew");
    fresh.cleanup().unwrap();
}

#[test]
fn any_sequence_of_changes_ends_where_a_fresh_start_begins() {
    in_new_netns(|| {
        let mut runner = TestRunner::default();
        let strategy = (cluster(), proptest::collection::vec(changes(), 1..12));
        for number in 0..sequences() {
            let tree = strategy.new_tree(&mut runner).unwrap();
            let (start, sequence) = tree.current();
            let outcome = std::panic::catch_unwind(|| follow(&start, &sequence));
            if let Err(panic) = outcome {
                eprintln!("sequence {number}: {start:#?} {sequence:#?}");
                std::panic::resume_unwind(panic);
            }
        }
    });
}

#[test]
fn a_cluster_that_becomes_large_is_written_without_comments_and_back() {
    in_new_netns(|| {
        let mut snapshot = Snapshot::default();
        for number in 0..4 {
            add_service(&mut snapshot, number, 245);
        }
        let mut live = programmer();
        live.start(&snapshot).unwrap();
        for (endpoints, full) in [(260, false), (270, true), (269, false), (10, true)] {
            let name = add_service(&mut snapshot, 0, endpoints);
            let done = live.update(&snapshot, &touched([name].into())).unwrap();
            assert_eq!(done.full, full, "{endpoints}");
            assert_in_force(&snapshot);
        }
    });
}

#[test]
fn a_change_beyond_the_size_of_a_notice_is_followed_and_not_heard() {
    in_new_netns(|| {
        let mut snapshot = Snapshot::default();
        add_service(&mut snapshot, 0, 1100);
        let mut live = programmer();
        live.start(&snapshot).unwrap();
        let names = (0..100).map(|number| add_service(&mut snapshot, number, 20));
        let names = names.collect();
        // Large it stays.
        let done = live.update(&snapshot, &touched(names)).unwrap();
        assert!(!done.full && done.messages > 1000, "{done:?}");
        assert!(live.listen().unwrap().is_empty());
        assert_in_force(&snapshot);
        let name = add_service(&mut snapshot, 7, 21);
        let done = live.update(&snapshot, &touched([name].into())).unwrap();
        assert!(!done.full);
        assert_in_force(&snapshot);
    });
}

#[test]
fn rules_that_were_found_in_another_order_keep_it_while_services_come_and_go() {
    in_new_netns(|| {
        let mut snapshot = Snapshot::default();
        for number in 0..8 {
            add_service(&mut snapshot, number, 1);
        }
        programmer().start(&snapshot).unwrap();
        for number in [2, 5, 3] {
            // What kube-proxy leaves: the order of a hash table.
            let rules = run("iptables", &["-t", "nat", "-S", "KUBE-SERVICES"]);
            let rule = rules
                .lines()
                .find(|l| l.contains(&format!("shop/s{number}:")))
                .unwrap();
            let rule = rule.strip_prefix("-A KUBE-SERVICES ").unwrap();
            let line = format!(
                "iptables -t nat -D KUBE-SERVICES {rule}; iptables -t nat -I KUBE-SERVICES {rule}"
            );
            run("sh", &["-c", &line]);
        }
        let order = || run("iptables", &["-t", "nat", "-S", "KUBE-SERVICES"]);
        let before = order();
        let mut live = programmer();
        assert_eq!(live.start(&snapshot).unwrap().transactions, 0);
        let name = add_service(&mut snapshot, 20, 2);
        live.update(&snapshot, &touched([name.clone()].into()))
            .unwrap();
        assert_in_force(&snapshot);
        assert_eq!(order().lines().count(), before.lines().count() + 1);
        snapshot.services.remove(&name);
        snapshot.slices.remove(&name);
        let done = live.update(&snapshot, &touched([name].into())).unwrap();
        assert!(!done.full);
        assert_eq!(order(), before);
        assert_in_force(&snapshot);
    });
}

#[test]
fn another_node_address_is_followed_and_a_node_that_stays_costs_nothing() {
    in_new_netns(|| {
        let mut snapshot = Snapshot::default();
        snapshot.nodes.insert("here".into(), node());
        add_service(&mut snapshot, 0, 3);
        let mut live = programmer();
        live.start(&snapshot).unwrap();
        let own = Touched {
            nodes: ["here".into()].into(),
            ..Touched::default()
        };
        let done = live.update(&snapshot, &own).unwrap();
        assert!(!done.full && done.transactions == 0);
        let mut moved = node();
        moved.zone = Some("east".into());
        snapshot.nodes.insert("here".into(), moved);
        assert!(live.update(&snapshot, &own).unwrap().full);
        assert_in_force(&snapshot);
        assert!(!live.disturbed().unwrap());
    });
}

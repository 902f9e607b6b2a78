//! Others at work: what concerns us is heard and repaired, what does not is left alone.

use portolan::agent::run::programmer::{Programmer, Resync};
use portolan::model::Snapshot;

use super::support::{add_service, assert_in_force, assert_same, programmer, saved, touched};
use crate::kernel_support::{in_new_netns, run};

fn cluster() -> Snapshot {
    let mut snapshot = Snapshot::default();
    for number in 0..5 {
        add_service(&mut snapshot, number, 3);
    }
    snapshot
}

/// A shell line of another program, within one chain of ours or all of them.
const DAMAGE: [(&str, &str); 8] = [
    ("iptables -t nat -F KUBE-SERVICES", "rules_deleted"),
    ("iptables -t nat -F", "rules_deleted"),
    ("iptables -t nat -A KUBE-MARK-MASQ -j RETURN", "rules_added"),
    ("iptables -t nat -D KUBE-SERVICES 1", "rules_deleted"),
    ("iptables -t filter -F FORWARD", "rules_deleted"),
    (
        "iptables -t nat -I KUBE-SERVICES -d 192.0.2.1 -j RETURN",
        "rules_added",
    ),
    ("nft delete table ip nat", "table_deleted"),
    ("nft flush ruleset", "table_deleted"),
];

#[test]
fn damage_is_heard_and_repaired() {
    in_new_netns(|| {
        let mut snapshot = cluster();
        let mut live = programmer();
        live.start(&snapshot).unwrap();
        let expected = saved();
        for (line, label) in DAMAGE {
            run("sh", &["-c", line]);
            let heard = live.listen().unwrap();
            let labels: Vec<_> = heard.iter().map(|foreign| foreign.damage).collect();
            assert!(labels.contains(&label), "{line}: {heard:?}");
            live.resync(&snapshot, Resync::Foreign).unwrap();
            assert_same(&saved(), &expected);
            assert!(
                live.listen().unwrap().is_empty(),
                "{line}: the repair is heard"
            );
        }
        // What was learned anew can be followed.
        let name = add_service(&mut snapshot, 9, 2);
        let done = live.update(&snapshot, &touched([name].into())).unwrap();
        assert!(!done.full);
        assert_in_force(&snapshot);
    });
}

#[test]
fn a_change_that_meets_damage_repairs_it() {
    in_new_netns(|| {
        let mut snapshot = cluster();
        let mut live = programmer();
        live.start(&snapshot).unwrap();
        for (number, (line, _)) in (10..).zip(DAMAGE) {
            run("sh", &["-c", line]);
            let name = add_service(&mut snapshot, number, 2);
            let done = live.update(&snapshot, &touched([name].into())).unwrap();
            assert!(done.full, "{line}");
            assert_in_force(&snapshot);
        }
    });
}

#[test]
fn others_that_change_what_is_not_ours_do_not_make_a_change_costly() {
    in_new_netns(|| {
        let mut snapshot = cluster();
        let mut live = programmer();
        live.start(&snapshot).unwrap();
        let lines = [
            "nft add table inet other",
            "iptables -t nat -A POSTROUTING -s 192.0.2.0/24 -j MASQUERADE",
            "iptables -N MINE && iptables -A INPUT -j MINE",
            "iptables -t mangle -A OUTPUT -j MARK --set-mark 1",
        ];
        for (number, line) in (10..).zip(lines) {
            run("sh", &["-c", line]);
            if number % 2 == 0 {
                assert!(live.listen().unwrap().is_empty(), "{line}");
            }
            let name = add_service(&mut snapshot, number, 2);
            let done = live.update(&snapshot, &touched([name].into())).unwrap();
            assert!(!done.full, "{line}");
            assert_in_force(&snapshot);
        }
        assert!(!live.disturbed().unwrap());
    });
}

#[test]
fn a_chain_that_somebody_else_points_to_is_emptied_when_its_service_goes_and_filled_when_it_returns()
 {
    in_new_netns(|| {
        let mut snapshot = cluster();
        let mut live = programmer();
        live.start(&snapshot).unwrap();
        let rules = run("iptables", &["-t", "nat", "-S", "KUBE-SERVICES"]);
        let rule = rules
            .lines()
            .find(|line| line.contains("shop/s3:"))
            .unwrap();
        let chain = rule.rsplit(' ').next().unwrap();
        run(
            "iptables",
            &["-t", "nat", "-A", "OUTPUT", "-d", "192.0.2.9", "-j", chain],
        );
        live.resync(&snapshot, Resync::Foreign).unwrap();
        let before = saved();
        let name = add_service(&mut snapshot, 3, 3);
        let (service, slices) = (
            snapshot.services.remove(&name),
            snapshot.slices.remove(&name),
        );
        live.update(&snapshot, &touched([name.clone()].into()))
            .unwrap();
        assert_in_force(&snapshot);
        assert!(
            saved()
                .iter()
                .any(|line| line.contains(&format!(":{chain} ")))
        );
        snapshot.services.insert(name.clone(), service.unwrap());
        snapshot.slices.insert(name.clone(), slices.unwrap());
        live.update(&snapshot, &touched([name].into())).unwrap();
        assert_in_force(&snapshot);
        assert_same(&saved(), &before);
    });
}

//! Other programs at the same tables: before, after, and at the same time.

use std::thread;

use super::{Stop, services};
use crate::support::{Family, Service, Testbed};

#[test]
fn rules_of_others_are_added_and_deleted_and_stay_otherwise() {
    let bed = Testbed::with_pods(2);
    let node = &bed.node.namespace;
    bed.apply(&services(&bed));
    node.run(
        "iptables",
        &["-I", "FORWARD", "1", "-s", "198.51.100.7", "-j", "DROP"],
    );
    node.run(
        "iptables",
        &["-A", "INPUT", "-p", "tcp", "--dport", "22", "-j", "ACCEPT"],
    );
    node.run("iptables", &["-t", "nat", "-N", "MINE"]);
    node.restore(
        Family::V4,
        "*nat\n-A MINE -j RETURN\n-A POSTROUTING -o eth9 -j MINE\nCOMMIT\n",
    );
    bed.verb("diff", &services(&bed), &[]).exits(0);

    bed.apply(&services(&bed)[..1]);
    let saved = node.saved(Family::V4);
    for rule in [
        "-A FORWARD -s 198.51.100.7/32 -j DROP",
        "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT",
        "-A POSTROUTING -o eth9 -j MINE",
        "-A MINE -j RETURN",
    ] {
        assert!(saved.contains(rule), "no {rule} in {saved}");
    }
    node.run(
        "iptables",
        &["-D", "FORWARD", "-s", "198.51.100.7", "-j", "DROP"],
    );
    bed.verb("verify", &services(&bed)[..1], &[]).exits(0);
}

#[test]
fn others_at_work_at_the_same_time_lose_nothing_and_break_nothing() {
    const ROUNDS: usize = 25;
    let bed = Testbed::with_pods(2);
    bed.apply(&services(&bed));
    let done = Stop::default();
    thread::scope(|scope| {
        let end = done.at_end();
        let busy = scope.spawn(|| {
            let node = &bed.node.namespace;
            let mut rounds = 0;
            while !done.is_set() {
                let passing = ["FORWARD", "-s", "198.51.100.9", "-j", "DROP"];
                node.run("iptables", &[&["-A"][..], &passing].concat());
                node.run("iptables", &[&["-D"][..], &passing].concat());
                let source = format!("198.18.{}.{}", rounds / 256, rounds % 256);
                let lasting = [
                    "-t",
                    "nat",
                    "-A",
                    "PREROUTING",
                    "-s",
                    &source,
                    "-j",
                    "RETURN",
                ];
                node.run("iptables", &lasting);
                rounds += 1;
            }
            rounds
        });
        for round in 0..ROUNDS {
            bed.apply(&services(&bed)[round % 2..]);
        }
        drop(end);
        let rounds = busy.join().unwrap();
        assert!(rounds > 0);
        let saved = bed.node.namespace.saved(Family::V4);
        assert_eq!(saved.matches("-s 198.18.").count(), rounds);
        assert!(!saved.contains("198.51.100.9"));
    });
    bed.verb("verify", &services(&bed)[(ROUNDS - 1) % 2..], &[])
        .exits(0);
}

#[test]
fn two_portolans_at_the_same_time_leave_one_whole_state() {
    let bed = Testbed::with_pods(2);
    let other = Service::new("other", "10.233.10.12")
        .node_port(30012)
        .to(&bed.pods[..1]);
    let states = [services(&bed), vec![other]];
    let manifests = states.clone().map(|services| {
        let path = bed.write(&services);
        let kept = path.with_extension(format!("{}.yaml", services.len()));
        std::fs::rename(path, &kept).unwrap();
        kept
    });
    let whole = manifests.each_ref().map(|manifest| {
        bed.verb_on("apply", manifest, &[]).exits(0);
        bed.node.namespace.rules()
    });
    for _ in 0..10 {
        thread::scope(|scope| {
            for manifest in &manifests {
                scope.spawn(|| bed.verb_on("apply", manifest, &[]).exits(0));
            }
        });
        let found = bed.node.namespace.rules();
        assert!(whole.contains(&found), "a mixture:\n{found}");
    }
}

//! iptables and its relatives at our tables, and what a kubelet has there.

use crate::lifecycle::services;
use crate::support::program::portolan_in;
use crate::support::{Family, Testbed};

/// What a kubelet has there.
const KUBELET: &str = "\
*mangle
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-IPTABLES-HINT - [0:0]
COMMIT
";

#[test]
fn iptables_lists_our_tables() {
    let bed = Testbed::with_pods(2);
    bed.apply(&services(&bed));
    for (family, words) in [
        (Family::V4, "to:10.233.65.1:8080"),
        (Family::V6, "KUBE-POSTROUTING"),
    ] {
        let list = ["-L", "-n", "-v", "--line-numbers"];
        let program = family.program("");
        let filter = bed.node.namespace.run(&program, &list);
        assert!(
            filter.contains("Chain KUBE-FORWARD (1 references)"),
            "{filter}"
        );
        let nat = bed
            .node
            .namespace
            .run(&program, &[&["-t", "nat"][..], &list].concat());
        assert!(nat.contains(words), "{nat}");
    }
}

#[test]
fn counters_count() {
    let bed = Testbed::with_pods(2);
    bed.apply(&services(&bed));
    bed.pod(1)
        .dial("10.233.10.10:80")
        .times(7)
        .assert_all_answered();
    let saved = bed
        .node
        .namespace
        .run("iptables-save", &["-c", "-t", "nat"]);
    let dispatch = "-A KUBE-SERVICES -d 10.233.10.10/32";
    let rule = saved
        .lines()
        .find(|line| line.contains(dispatch))
        .expect("the rule");
    assert!(rule.starts_with("[7:"), "{rule}");
}

#[test]
fn a_full_restore_of_a_save_changes_nothing() {
    let bed = Testbed::with_pods(2);
    bed.apply(&services(&bed));
    for family in Family::BOTH {
        let saved = bed.node.namespace.run(&family.program("-save"), &[]);
        bed.node
            .namespace
            .run_with_input(&family.program("-restore"), &[], &saved);
    }
    bed.verb("verify", &services(&bed), &[]).exits(0);
    bed.pod(1)
        .dial("10.233.10.10:80")
        .times(20)
        .assert_only(&["pod-1", "pod-2"]);
}

#[test]
fn what_a_kubelet_needs_stays() {
    let bed = Testbed::with_pods(2);
    bed.node.namespace.restore(Family::V4, KUBELET);
    bed.apply(&services(&bed));
    portolan_in(&bed.node.namespace, &["cleanup"]).exits(0);
    let after = bed.node.namespace.saved(Family::V4);
    for line in [
        ":KUBE-KUBELET-CANARY -",
        ":KUBE-IPTABLES-HINT -",
        "-A INPUT -j KUBE-FIREWALL",
    ] {
        assert!(after.contains(line), "no {line} in {after}");
    }
    assert!(!after.contains("KUBE-SERVICES"), "{after}");
}

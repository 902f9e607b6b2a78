//! `portolan cleanup` removes what is ours and nothing else.

use super::services;
use crate::support::program::portolan_in;
use crate::support::{Family, Mode, Service, Testbed};

/// What an administrator and a container runtime have in the same tables.
const FOREIGN: &str = "\
*filter
:DOCKER-USER - [0:0]
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A FORWARD -j DOCKER-USER
-A DOCKER-USER -m comment --comment \"mentions KUBE-SERVICES\" -j RETURN
COMMIT
*nat
:MY-CHAIN - [0:0]
-A PREROUTING -p tcp -m tcp --dport 8443 -j MY-CHAIN
-A MY-CHAIN -p tcp -j REDIRECT --to-ports 443
COMMIT
";

fn bed_with_foreign_rules() -> Testbed {
    let bed = Testbed::with_pods(2);
    for family in Family::BOTH {
        bed.node.namespace.restore(family, FOREIGN);
    }
    bed
}

#[test]
fn foreign_rules_stay_and_ours_go() {
    let bed = bed_with_foreign_rules();
    let before = bed.node.namespace.saved_both();
    bed.apply(&services(&bed));
    bed.pod(1).dial("10.233.10.10:80").answer();
    portolan_in(&bed.node.namespace, &["cleanup"]).exits(0);
    // Tables that we added stay, empty: others may use them by now.
    let after = bed.node.namespace.saved_both();
    assert_eq!(without_empty_parts(&after), without_empty_parts(&before));
    for family in ["ip", "ip6"] {
        let list = ["list", "table", family, "portolan"];
        let listed = bed.node.namespace.output("nft", &list);
        assert!(!listed.status.success(), "{listed:?}");
    }
}

/// Without built-in chains, whose presence says nothing.
fn without_empty_parts(saved: &str) -> String {
    let built_in = |line: &str| line.starts_with(':') && !line.ends_with(" -");
    saved
        .lines()
        .filter(|line| !built_in(line))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn dry_run_lists_and_removes_nothing() {
    let bed = bed_with_foreign_rules();
    bed.apply(&services(&bed));
    let before = bed.node.namespace.generation();
    let listed = portolan_in(&bed.node.namespace, &["cleanup", "--dry-run"]).exits(0);
    let ours: &[&str] = Mode::expects(
        &["-:KUBE-SERVICES", "-A PREROUTING", "10.233.65.1:8080"],
        &["-table ip portolan", "-table ip6 portolan"],
    );
    for line in ours {
        assert!(listed.stdout.contains(line), "{}", listed.stdout);
    }
    for line in ["DOCKER-USER", "MY-CHAIN"] {
        assert!(!listed.stdout.contains(line), "{}", listed.stdout);
    }
    assert_eq!(bed.node.namespace.generation(), before);
}

#[test]
fn a_second_time_there_is_nothing_to_remove() {
    let bed = Testbed::with_pods(1);
    bed.apply(&[Service::new("web", "10.233.10.10").to(&bed.pods)]);
    portolan_in(&bed.node.namespace, &["cleanup"]).exits(0);
    let before = bed.node.namespace.generation();
    let second = portolan_in(&bed.node.namespace, &["cleanup"]).exits(0);
    assert!(
        second.stdout.contains("nothing to remove"),
        "{}",
        second.stdout
    );
    assert_eq!(bed.node.namespace.generation(), before);
}

#[test]
fn what_kube_proxy_left_goes_too() {
    let bed = bed_with_foreign_rules();
    let before = without_empty_parts(&bed.node.namespace.saved_both());
    bed.node
        .namespace
        .restore(Family::V4, include_str!("../three_endpoints.rules"));
    assert!(bed.node.namespace.saved_both().contains("KUBE-SEP-"));
    portolan_in(&bed.node.namespace, &["cleanup"]).exits(0);
    assert_eq!(
        without_empty_parts(&bed.node.namespace.saved_both()),
        before
    );
}

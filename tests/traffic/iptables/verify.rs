//! `portolan verify` names what somebody else changed; `portolan apply` puts it right.

use crate::lifecycle::services;
use crate::support::{Service, Testbed};

/// An applied testbed, and the rule of `KUBE-SEP-…` that sends to pod-1, as `iptables -S` shows it.
fn bed() -> (Testbed, Vec<Service>, String) {
    let bed = Testbed::with_pods(2);
    let services = services(&bed);
    bed.apply(&services);
    let rules = bed.node.namespace.run("iptables", &["-t", "nat", "-S"]);
    let dnat = rules
        .lines()
        .find(|rule| rule.ends_with("--to-destination 10.233.65.1:8080"));
    let dnat = dnat.expect("a rule for pod-1").to_owned();
    (bed, services, dnat)
}

/// Breaks something by `sh -c`, then expects `verify` to print `words`, and `apply` to repair it.
#[track_caller]
fn is_named_and_repaired(break_it: impl Fn(&str) -> String, words: &[&str]) {
    let (bed, services, dnat) = bed();
    let before = bed.node.namespace.saved_both();
    bed.verb("verify", &services, &[]).exits(0);
    bed.node.namespace.run("sh", &["-c", &break_it(&dnat)]);
    let found = bed.verb("verify", &services, &[]).exits(3);
    for word in words {
        assert!(
            found.stdout.contains(word),
            "no {word:?} in:\n{}",
            found.stdout
        );
    }
    bed.apply(&services);
    bed.verb("verify", &services, &[]).exits(0);
    assert_eq!(bed.node.namespace.saved_both(), before);
}

fn chain_of(rule: &str) -> String {
    rule.split(' ').nth(1).expect("a chain").to_owned()
}

#[test]
fn a_deleted_rule() {
    is_named_and_repaired(
        |dnat| format!("iptables -t nat {}", dnat.replacen("-A", "-D", 1)),
        &["missing", "--to-destination 10.233.65.1:8080"],
    );
}

#[test]
fn a_changed_rule() {
    is_named_and_repaired(
        |dnat| {
            let other = dnat.replace("10.233.65.1:8080", "10.233.65.9:8080");
            let replaced = other.replacen(&format!("-A {}", chain_of(dnat)), "", 1);
            format!("iptables -t nat -R {} 2 {replaced}", chain_of(dnat))
        },
        &["10.233.65.9:8080", "10.233.65.1:8080"],
    );
}

#[test]
fn a_changed_probability() {
    is_named_and_repaired(
        |_| "iptables-save | sed s/0.50000000000/0.40000000000/ | iptables-restore".to_owned(),
        &["--probability 0.39999999991", "--probability 0.50000000000"],
    );
}

#[test]
fn a_flushed_chain() {
    is_named_and_repaired(
        |_| "iptables -t nat -F KUBE-POSTROUTING".to_owned(),
        &["KUBE-POSTROUTING", "-j MASQUERADE --random-fully"],
    );
}

#[test]
fn rules_in_the_wrong_order() {
    is_named_and_repaired(
        |_| {
            "iptables -t nat -D KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0 && \
             iptables -t nat -I KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0"
                .to_owned()
        },
        &["KUBE-POSTROUTING"],
    );
}

#[test]
fn a_rule_too_many() {
    is_named_and_repaired(
        |_| "iptables -t nat -I KUBE-SERVICES -d 10.233.10.10 -j RETURN".to_owned(),
        &[
            "KUBE-SERVICES",
            "should not be there",
            "-d 10.233.10.10/32 -j RETURN",
        ],
    );
}

#[test]
fn a_missing_jump() {
    is_named_and_repaired(
        |_| "iptables -t nat -F PREROUTING".to_owned(),
        &["PREROUTING", "-j KUBE-SERVICES"],
    );
}

#[test]
fn a_flushed_table() {
    is_named_and_repaired(
        |_| "nft flush table ip nat".to_owned(),
        &["PREROUTING", "KUBE-SERVICES"],
    );
}

#[test]
fn a_deleted_table() {
    is_named_and_repaired(
        |_| "nft delete table ip6 filter".to_owned(),
        &["IPv6", "KUBE-FORWARD"],
    );
}

#[test]
fn a_rule_that_iptables_cannot_show() {
    is_named_and_repaired(
        |_| "nft insert rule ip nat KUBE-SERVICES meta length 77 counter accept".to_owned(),
        &["KUBE-SERVICES", "should not be there"],
    );
}

#[test]
fn a_setting_that_the_rules_need() {
    is_named_and_repaired(
        |_| "echo 0 >/proc/sys/net/ipv4/conf/all/route_localnet".to_owned(),
        &["route_localnet"],
    );
}

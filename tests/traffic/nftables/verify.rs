//! `portolan verify` names what somebody else changed in the table; `portolan apply` puts it right
//! in one transaction.

use serde_json::json;

use crate::lifecycle::services;
use crate::support::{Service, Testbed, assert_same_rules};

/// Everything that makes elements in sets, those that come and go with values in use included.
fn all_kinds(bed: &Testbed) -> Vec<Service> {
    let mut all = services(bed);
    all.push(
        Service::new("guarded", "10.233.10.12")
            .load_balancer("203.0.113.12")
            .field("loadBalancerSourceRanges", json!(["192.168.10.0/24"]))
            .field("externalTrafficPolicy", json!("Local"))
            .sticky(60)
            .to(&bed.pods),
    );
    all
}

/// Breaks something by `sh -c`, then expects `verify` to print each of `words`, and `apply` to
/// repair it.
#[track_caller]
fn is_named_and_repaired(break_it: &str, words: &[&str]) {
    let bed = Testbed::with_pods(2);
    let services = all_kinds(&bed);
    bed.apply(&services);
    let before = bed.node.namespace.rules();
    bed.verb("verify", &services, &[]).exits(0);
    let script = format!("set -e\n{break_it}");
    bed.node.namespace.run("sh", &["-c", &script]);
    let found = bed.verb("verify", &services, &[]).exits(3);
    for word in words {
        assert!(
            found.stdout.contains(word),
            "no {word:?} in:\n{}",
            found.stdout
        );
    }
    let repair = bed.apply(&services);
    assert!(
        repair.stdout.contains("applied in 1 transaction:"),
        "{}",
        repair.stdout
    );
    bed.verb("verify", &services, &[]).exits(0);
    assert_same_rules(&bed.node.namespace.rules(), &before);
    for target in ["10.233.10.10:80", "10.233.10.12:80"] {
        bed.pod(1).dial(target).answer();
    }
    bed.outside.dial("203.0.113.12:80").answer();
}

#[test]
fn a_deleted_table() {
    is_named_and_repaired(
        "nft delete table ip6 portolan",
        &["table ip6 portolan: missing"],
    );
}

#[test]
fn a_flushed_ruleset() {
    is_named_and_repaired(
        "nft flush ruleset",
        &["table ip portolan: missing", "table ip6 portolan: missing"],
    );
}

#[test]
fn a_flushed_table() {
    is_named_and_repaired(
        "nft flush table ip portolan",
        &[
            "table ip portolan: chain services: other rules",
            "chain nat-postrouting: other rules",
        ],
    );
}

#[test]
fn a_flushed_chain() {
    is_named_and_repaired(
        "nft flush chain ip portolan nat-prerouting",
        &["table ip portolan: chain nat-prerouting: other rules"],
    );
}

#[test]
fn a_deleted_rule() {
    is_named_and_repaired(
        "rule=$(nft -a list chain ip portolan services | sed -n 's/.*goto node-port # //p')
         nft delete rule ip portolan services $rule",
        &["table ip portolan: chain services: other rules"],
    );
}

#[test]
fn a_changed_rule() {
    is_named_and_repaired(
        "rule=$(nft -a list chain ip portolan services | sed -n 's/.*goto node-port # //p')
         nft replace rule ip portolan services $rule tcp dport 30080 drop",
        &["table ip portolan: chain services: other rules"],
    );
}

#[test]
fn a_rule_too_many() {
    is_named_and_repaired(
        "nft insert rule ip portolan services ip saddr 10.233.65.1 accept",
        &["table ip portolan: chain services: other rules"],
    );
}

#[test]
fn a_rule_too_many_where_rules_follow_values() {
    is_named_and_repaired(
        "nft insert rule ip portolan source-ranges accept",
        &["chain source-ranges: other rules"],
    );
}

#[test]
fn rules_in_another_order() {
    is_named_and_repaired(
        "rule=$(nft -a list chain ip portolan nat-postrouting | sed -n 's/.*@hairpin.*# //p')
         nft delete rule ip portolan nat-postrouting $rule
         nft insert rule ip portolan nat-postrouting ct status dnat \
           ip saddr . ip daddr . meta l4proto . th dport @hairpin masquerade fully-random",
        &["table ip portolan: chain nat-postrouting: other rules"],
    );
}

#[test]
fn a_deleted_element() {
    is_named_and_repaired(
        "nft delete element ip portolan cluster-services '{ 10.233.10.10 . tcp . 80 }'",
        &[
            "cluster-services: 10.233.10.10 . tcp . 80",
            ": missing (default/web:p0)",
        ],
    );
}

#[test]
fn a_deleted_endpoint() {
    is_named_and_repaired(
        "nft delete element ip portolan endpoints '{ 10.233.10.10 . tcp . 80 . 2 }'",
        &[
            "endpoints: 10.233.10.10 . tcp . 80 . 2 : 10.233.65.",
            ": missing (default/web:p0)",
        ],
    );
}

#[test]
fn an_element_too_many() {
    is_named_and_repaired(
        "nft add element ip portolan no-endpoints '{ 10.233.10.10 . tcp . 80 }'",
        &["no-endpoints: 10.233.10.10 . tcp . 80: not wanted (default/web:p0)"],
    );
}

#[test]
fn an_endpoint_too_many() {
    is_named_and_repaired(
        "nft add element ip portolan endpoints \
           '{ 10.233.10.10 . tcp . 80 . 4 : 10.233.65.9 . 8080 }'",
        &["endpoints: 10.233.10.10 . tcp . 80 . 4 : 10.233.65.9 . 8080: not wanted"],
    );
}

#[test]
fn a_changed_endpoint() {
    is_named_and_repaired(
        "nft delete element ip portolan endpoints '{ 10.233.10.10 . tcp . 80 . 2 }'
         nft add element ip portolan endpoints \
           '{ 10.233.10.10 . tcp . 80 . 2 : 10.233.65.9 . 8080 }'",
        &[
            "10.233.65.9 . 8080: not wanted (default/web:p0)",
            ": missing (default/web:p0)",
        ],
    );
}

#[test]
fn a_changed_comment() {
    is_named_and_repaired(
        "nft delete element ip portolan cluster-ips '{ 10.233.10.10 }'
         nft add element ip portolan cluster-ips '{ 10.233.10.10 comment \"default/other\" }'",
        &["cluster-ips: 10.233.10.10 comment \"default/other\""],
    );
}

#[test]
fn a_changed_interval() {
    is_named_and_repaired(
        "nft flush set ip portolan service-cidrs
         nft add element ip portolan service-cidrs '{ 10.0.0.0/8 }'",
        &["service-cidrs: "],
    );
}

#[test]
fn a_flushed_set() {
    is_named_and_repaired(
        "nft flush set ip portolan hairpin",
        &["hairpin: 10.233.65.1 . 10.233.65.1 . tcp . 8080: missing"],
    );
}

#[test]
fn a_flushed_map() {
    is_named_and_repaired(
        "nft flush map ip portolan endpoints",
        &["endpoints: ", ": missing (default/web:p0)"],
    );
}

#[test]
fn a_deleted_set() {
    is_named_and_repaired(
        "nft flush table ip portolan
         nft delete set ip portolan large",
        &["table ip portolan: set large: missing"],
    );
}

#[test]
fn a_deleted_set_that_follows_values() {
    is_named_and_repaired(
        "nft flush chain ip portolan source-ranges
         nft delete set ip portolan sources-24",
        &[
            "set sources-24: missing",
            "chain source-ranges: other rules",
        ],
    );
}

#[test]
fn a_deleted_chain() {
    is_named_and_repaired(
        "nft flush chain ip portolan external-service
         nft delete chain ip portolan external-local",
        &["table ip portolan: chain external-local: missing"],
    );
}

#[test]
fn a_deleted_base_chain() {
    is_named_and_repaired(
        "nft delete chain ip portolan nat-output",
        &["table ip portolan: chain nat-output: missing"],
    );
}

#[test]
fn a_chain_at_another_hook() {
    is_named_and_repaired(
        "nft delete chain ip portolan nat-output
         nft add chain ip portolan nat-output '{ type nat hook output priority -90; }'
         nft add rule ip portolan nat-output jump services",
        &["table ip portolan: chain nat-output: other hook"],
    );
}

#[test]
fn a_foreign_chain() {
    is_named_and_repaired(
        "nft add chain ip portolan mine '{ type filter hook input priority 5; }'
         nft add rule ip portolan mine tcp dport 22 drop",
        &["table ip portolan: chain mine: not wanted"],
    );
}

#[test]
fn a_foreign_set() {
    is_named_and_repaired(
        "nft add set ip portolan mine '{ type ipv4_addr; }'",
        &["table ip portolan: set mine: not wanted"],
    );
}

#[test]
fn a_drop_policy() {
    is_named_and_repaired(
        "nft add chain ip portolan filter-input '{ policy drop; }'",
        &["table ip portolan: chain filter-input: policy drop"],
    );
}

#[test]
fn a_sleeping_table() {
    is_named_and_repaired(
        "nft add table ip portolan '{ flags dormant; }'",
        &["table ip portolan: dormant"],
    );
}

#[test]
fn another_layout() {
    is_named_and_repaired(
        "nft list table ip6 portolan | sed 's/layout 1/layout 0/' >/tmp/$$.nft
         nft delete table ip6 portolan
         nft -f /tmp/$$.nft; rm /tmp/$$.nft",
        &["table ip6 portolan: another layout: \"Kubernetes services, layout 0\""],
    );
}

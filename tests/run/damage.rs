//! Every kind of damage to the table of the nftables mode: repaired, named and counted.

use crate::agent::Agent;
use crate::hearing::{ON_ITS_OWN, directory, nft, repairs};
use crate::support::Testbed;

/// Does something to the rules, and waits until nothing is left of it, and until it was named in
/// the log and counted.
#[track_caller]
fn is_repaired(script: &str, words: &str, damage: &str) {
    let bed = Testbed::with_pods(1);
    let directory = directory(&bed);
    let mut agent = Agent::start(&bed, &directory, &ON_ITS_OWN);
    let rules = bed.node.namespace.rules();
    nft(&bed, script);
    agent.eventually(script, |_| bed.node.namespace.rules() == rules);
    assert_eq!(bed.node.dial("10.233.10.10:80").answer().server, "pod-1");
    agent.eventually("it is counted", |agent| repairs(agent, damage) == 1.0);
    let log = agent.log();
    assert!(log.contains(words), "{log}");
    assert!(log.contains("by nft (pid "), "{log}");
    assert!(log.contains(" repaired "), "{log}");
    agent.stop();
    bed.verb_on("verify", directory.path(), &[]).exits(0);
}

#[test]
fn a_deleted_table_is_repaired() {
    is_repaired(
        "delete table ip portolan",
        "table ip portolan deleted",
        "table_deleted",
    );
}

#[test]
fn a_flushed_table_is_repaired() {
    is_repaired("flush table ip portolan", "deleted from ", "rules_deleted");
}

#[test]
fn a_flushed_ruleset_is_repaired() {
    is_repaired(
        "flush ruleset",
        "table ip portolan deleted",
        "table_deleted",
    );
}

#[test]
fn deleted_elements_are_repaired() {
    is_repaired(
        "flush map ip portolan endpoints",
        "deleted from map endpoints of table ip portolan",
        "elements_deleted",
    );
}

#[test]
fn an_element_added_by_others_goes() {
    is_repaired(
        "add element ip portolan cluster-ips { 10.233.1.1 }",
        "1 element added to set cluster-ips of table ip portolan",
        "elements_added",
    );
}

#[test]
fn a_rule_added_by_others_goes() {
    is_repaired(
        "insert rule ip portolan nat-prerouting accept",
        "1 rule added to chain nat-prerouting of table ip portolan",
        "rules_added",
    );
}

#[test]
fn a_chain_added_by_others_goes() {
    is_repaired(
        "add chain ip portolan theirs",
        "chain theirs of table ip portolan added",
        "chain_added",
    );
}

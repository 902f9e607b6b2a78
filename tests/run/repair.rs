//! Other programs at our rules.

use crate::agent::{Agent, Directory};
use crate::support::program::Mode;
use crate::support::{Service, Testbed};

const VIP: &str = "10.233.10.10:80";

fn directory(bed: &Testbed) -> Directory {
    let directory = Directory::new();
    let web = Service::new("web", "10.233.10.10").to(&bed.pods);
    directory.write("web.yaml", &[web]);
    directory
}

#[test]
fn what_others_remove_is_back_after_the_sync_period_at_the_latest() {
    let bed = Testbed::with_pods(1);
    let directory = directory(&bed);
    let mut agent = Agent::start(&bed, &directory, &["--sync-period", "1s"]);
    let rules = bed.node.namespace.rules();
    let tables = Mode::expects(["nat", "filter"], ["portolan"; 2]);
    for (round, table) in tables.into_iter().enumerate() {
        let family = if round == 0 { "ip" } else { "ip6" };
        bed.node
            .namespace
            .run("nft", &["flush", "table", family, table]);
        agent.eventually("it is repaired", |_| bed.node.namespace.rules() == rules);
    }
    bed.node.namespace.run("nft", &["flush", "ruleset"]);
    agent.eventually("all is back", |_| bed.node.namespace.rules() == rules);
    assert_eq!(bed.node.dial(VIP).answer().server, "pod-1");
}

#[test]
fn what_others_do_to_their_own_rules_is_none_of_ours() {
    let bed = Testbed::with_pods(1);
    let directory = directory(&bed);
    let mut agent = Agent::start(&bed, &directory, &[]);
    let commits = agent.metric("portolan_commits_total");
    let nft = |args: &[&str]| bed.node.namespace.run("nft", args);
    nft(&["add", "table", "ip", "theirs"]);
    nft(&["add", "chain", "ip", "theirs", "c"]);
    nft(&["add", "rule", "ip", "theirs", "c", "accept"]);
    // A change of our own shows that the loop is past all that.
    let more = Service::new("more", "10.233.10.11").to(&bed.pods);
    directory.write("more.yaml", &[more]);
    let next = commits.map(|commits| commits + 1.0);
    agent.eventually("it goes on", |agent| {
        agent.metric("portolan_commits_total") == next
    });
    assert!(!agent.log().contains("repaired"), "{}", agent.log());
    assert!(nft(&["list", "ruleset"]).contains("table ip theirs"));
}

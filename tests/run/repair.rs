//! Other programs at our rules.

use crate::agent::{Agent, Directory};
use crate::support::program::Mode;
use crate::support::{Service, Testbed};

const VIP: &str = "10.233.10.10:80";

fn flush(bed: &Testbed) {
    let flush: &[&str] = Mode::expects(
        &["flush", "table", "ip", "nat"],
        &["flush", "table", "ip", "portolan"],
    );
    bed.node.namespace.run("nft", flush);
}

fn directory(bed: &Testbed) -> Directory {
    let directory = Directory::new();
    let web = Service::new("web", "10.233.10.10").to(&bed.pods);
    directory.write("web.yaml", &[web]);
    directory
}

#[test]
fn what_others_flush_is_repaired_named_and_counted() {
    let bed = Testbed::with_pods(1);
    let directory = directory(&bed);
    let mut agent = Agent::start(&bed, &directory, &[]);
    let rules = bed.node.namespace.rules();
    flush(&bed);
    agent.eventually("it is repaired", |_| bed.node.namespace.rules() == rules);
    assert_eq!(bed.node.dial(VIP).answer().server, "pod-1");
    let repairs = |agent: &Agent<'_>| {
        let body = agent.get("127.0.0.1:10249/metrics").body;
        let lines = body
            .lines()
            .filter(|line| line.starts_with("portolan_repairs_total{"));
        lines.count()
    };
    agent.eventually("it is counted", |agent| repairs(agent) > 0);
    let log = agent.log();
    assert!(log.contains("by nft"), "{log}");
    assert!(log.contains("repaired"), "{log}");
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

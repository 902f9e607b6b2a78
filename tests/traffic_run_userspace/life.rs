//! How an agent that forwards starts and ends, and what it does about damage.

use std::time::Duration;

use crate::agent::{Agent, Directory};
use crate::support::{Outcome, Service, Testbed};

const VIP: &str = "10.233.10.10:80";

fn directory(bed: &Testbed) -> Directory {
    let directory = Directory::new();
    let web = Service::new("web", "10.233.10.10").to(&bed.pods[..1]);
    directory.write("web.yaml", &[web]);
    directory
}

#[test]
fn a_flushed_table_is_repaired_and_connections_go_on() {
    let bed = Testbed::with_pods(2);
    let directory = directory(&bed);
    let mut agent = Agent::start(&bed, &directory, &[]);
    let mut talk = bed.pod(2).dial(VIP).converse();
    assert_eq!(talk.say("before").unwrap(), "pod-1");
    bed.node.namespace.run("nft", &["flush", "ruleset"]);
    agent.eventually("the table is back", |agent| {
        agent.log().contains("repaired")
    });
    assert_eq!(bed.pod(2).dial(VIP).answer().server, "pod-1");
    assert_eq!(talk.say("after").unwrap(), "pod-1");
}

#[test]
fn a_change_of_endpoints_alone_writes_nothing_to_the_kernel() {
    let bed = Testbed::with_pods(3);
    let directory = directory(&bed);
    let mut agent = Agent::start(&bed, &directory, &[]);
    let before = bed.node.namespace.generation();
    let web = Service::new("web", "10.233.10.10").to(&bed.pods[1..2]);
    directory.write("web.yaml", &[web]);
    agent.eventually("it follows", |_| {
        bed.pod(3).dial(VIP).answer().server == "pod-2"
    });
    assert_eq!(bed.node.namespace.generation(), before);
}

#[test]
fn an_agent_that_stops_lets_connections_end_and_refuses_new_ones() {
    let bed = Testbed::with_pods(2);
    let directory = directory(&bed);
    let mut agent = Agent::start(&bed, &directory, &["--shutdown-grace-period", "60s"]);
    let mut talk = bed.pod(2).dial(VIP).converse();
    assert_eq!(talk.say("before").unwrap(), "pod-1");
    agent.signal(nix::sys::signal::Signal::SIGTERM);
    agent.eventually("it stops", |agent| {
        agent.log().contains("no longer forwarding")
    });
    let new = bed.pod(2).dial(VIP).impatiently().once();
    assert_eq!(new, Outcome::Refused);
    assert_eq!(talk.say("after").unwrap(), "pod-1");
    drop(talk);
    let (_, log) = agent.ends();
    assert!(log.contains("open=1"), "{log}");
    assert!(!log.contains("were cut"), "{log}");
}

#[test]
fn a_connection_that_does_not_end_is_cut_after_the_grace_period() {
    let bed = Testbed::with_pods(2);
    let directory = directory(&bed);
    let agent = Agent::start(&bed, &directory, &["--shutdown-grace-period", "200ms"]);
    let mut talk = bed.pod(2).dial(VIP).converse();
    assert_eq!(talk.say("before").unwrap(), "pod-1");
    let log = agent.stop();
    assert!(log.contains("connections were cut cut=1"), "{log}");
    assert!(talk.say("after").is_err());
}

#[test]
fn a_silent_connection_is_reset_after_the_idle_timeout() {
    let bed = Testbed::with_pods(2);
    let directory = directory(&bed);
    let _agent = Agent::start(&bed, &directory, &["--tcp-idle-timeout", "1s"]);
    let mut talk = bed.pod(2).dial(VIP).converse();
    for _ in 0..3 {
        assert_eq!(talk.say("still there").unwrap(), "pod-1");
        std::thread::sleep(Duration::from_millis(400));
    }
    std::thread::sleep(Duration::from_secs(3));
    assert!(talk.say("too late").is_err());
}

#[test]
fn cleanup_removes_all_that_an_agent_left() {
    let bed = Testbed::with_pods(1);
    let directory = directory(&bed);
    Agent::start(&bed, &directory, &[]).stop();
    let list = || bed.node.namespace.run("nft", &["list", "tables"]);
    assert!(list().contains("portolan"), "{}", list());
    crate::support::program::portolan_in(&bed.node.namespace, &["cleanup"]).exits(0);
    assert_eq!(list(), "");
}

#[test]
fn the_mode_is_the_agents_alone() {
    let bed = Testbed::with_pods(1);
    let services = [Service::new("web", "10.233.10.10").to(&bed.pods)];
    for verb in ["apply", "diff", "verify"] {
        let run = bed.verb(verb, &services, &[]).exits(2);
        assert!(run.stderr.contains("portolan run"), "{}", run.stderr);
    }
    let rendered = bed.verb("render", &services, &["--family", "ip"]).exits(0);
    let own = ": 192.168.10.100 . 1";
    assert!(rendered.stdout.contains(own), "{}", rendered.stdout);
}

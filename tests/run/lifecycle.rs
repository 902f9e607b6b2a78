//! How an agent starts and ends.

use nix::sys::signal::Signal;

use crate::agent::{Agent, Directory, get};
use crate::support::{Service, Testbed};

const VIP: &str = "10.233.10.10:80";

fn directory(bed: &Testbed) -> Directory {
    let directory = Directory::new();
    let web = Service::new("web", "10.233.10.10").to(&bed.pods);
    directory.write("web.yaml", &[web]);
    directory
}

#[test]
fn a_stopped_agent_leaves_rules_in_force() {
    let bed = Testbed::with_pods(1);
    let directory = directory(&bed);
    let agent = Agent::start(&bed, &directory, &[]);
    let rules = bed.node.namespace.rules();
    let log = agent.stop();
    assert!(log.contains("SIGTERM"), "{log}");
    assert_eq!(bed.node.namespace.rules(), rules);
    assert_eq!(bed.node.dial(VIP).answer().server, "pod-1");
}

#[test]
fn a_new_agent_takes_over_without_writing_anything() {
    let bed = Testbed::with_pods(1);
    let directory = directory(&bed);
    Agent::start(&bed, &directory, &[]).stop();
    let before = bed.node.namespace.generation();
    let agent = Agent::start(&bed, &directory, &[]);
    assert_eq!(agent.metric("portolan_commits_total"), Some(0.0));
    agent.stop();
    assert_eq!(bed.node.namespace.generation(), before);
}

#[test]
fn a_killed_agent_leaves_rules_in_force_and_the_next_writes_nothing() {
    let bed = Testbed::with_pods(1);
    let directory = directory(&bed);
    let agent = Agent::start(&bed, &directory, &[]);
    let before = bed.node.namespace.generation();
    agent.signal(Signal::SIGKILL);
    agent.ends();
    assert_eq!(bed.node.dial(VIP).answer().server, "pod-1");
    let mut agent = Agent::start(&bed, &directory, &[]);
    assert_eq!(agent.metric("portolan_commits_total"), Some(0.0));
    assert_eq!(bed.node.namespace.generation(), before);
    // And it goes on from there.
    let more = Service::new("more", "10.233.10.11").to(&bed.pods);
    directory.write("more.yaml", &[more]);
    agent.eventually("it follows", |agent| {
        agent.metric("portolan_commits_total") == Some(1.0)
    });
    assert_eq!(bed.node.dial("10.233.10.11:80").answer().server, "pod-1");
}

#[test]
fn cleanup_on_exit_removes_what_is_ours() {
    let bed = Testbed::with_pods(1);
    let directory = directory(&bed);
    let agent = Agent::start(&bed, &directory, &["--cleanup-on-exit"]);
    assert_eq!(bed.node.dial(VIP).answer().server, "pod-1");
    agent.signal(Signal::SIGINT);
    let (status, log) = agent.ends();
    assert_eq!(status.code(), Some(0), "{log}");
    let left = bed.node.namespace.run("nft", &["list", "ruleset"]);
    assert!(!left.contains("10.233.10.10"), "{left}");
}

#[test]
fn manifests_that_are_wrong_at_the_start_end_it_and_change_nothing() {
    let bed = Testbed::with_pods(1);
    let directory = directory(&bed);
    directory.write_text(
        "broken.yaml",
        "kind: Service\napiVersion: v1\nmetadata: {}\n",
    );
    let before = bed.node.namespace.generation();
    let (status, log) = Agent::launch(&bed, &directory, &[]).ends();
    assert_eq!(status.code(), Some(2), "{log}");
    assert!(log.contains("broken.yaml"), "{log}");
    assert_eq!(bed.node.namespace.generation(), before);
}

#[test]
fn two_agents_do_not_share_a_state_directory() {
    let bed = Testbed::with_pods(1);
    let directory = directory(&bed);
    let other = Directory::new();
    let _first = Agent::start(&bed, &directory, &[]);
    let (status, log) = Agent::launch(&bed, &other, &[]).ends();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("another portolan"), "{log}");
}

#[test]
fn an_agent_works_in_the_namespace_it_is_given() {
    let bed = Testbed::with_pods(1);
    let directory = directory(&bed);
    let netns = bed.node.namespace.path();
    let more = ["--netns", netns.to_str().unwrap()];
    let pod = &bed.pod(1).namespace;
    // Started on a pod; it programs, and serves in, the node.
    let agent = Agent::launch_in(pod, &bed, &directory, &more).loaded();
    let target = "127.0.0.1:10249/proxyMode";
    let codes = [&bed.node.namespace, pod].map(|namespace| get(namespace, target).code);
    agent.stop();
    assert_eq!(codes, [200, 0]);
    assert_eq!(bed.node.dial(VIP).answer().server, "pod-1");
}

//! Starting again is no reason to touch anybody's connection.

use nix::sys::signal::Signal;

use crate::agent::{Agent, Directory};
use crate::client::{Client, eventually, flows};
use crate::support::{Protocol, Service, Testbed};

const VIP: &str = "10.233.10.70";
const TARGET: &str = "10.233.10.70:80";

fn dns(bed: &Testbed, endpoint: usize) -> Service {
    Service::new("dns", VIP)
        .over(Protocol::Udp)
        .node_port(30053)
        .to([bed.pod(endpoint)])
}

#[test]
fn k122740_a_restart_touches_no_flow_of_an_unchanged_service() {
    let bed = Testbed::with_pods(3);
    let directory = Directory::new();
    directory.write("dns.yaml", &[dns(&bed, 1)]);
    let agent = Agent::start(&bed, &directory, &[]);
    let clients = [
        Client::new(&bed.pod(3).namespace, 5353, TARGET),
        Client::new(&bed.outside.namespace, 5353, &bed.node.at(30053)),
        // Not a Service's at all, but on a port that one has.
        Client::new(&bed.pod(3).namespace, 5354, &bed.other_node.at(30053)),
    ];
    for client in &clients {
        let _ = client.ask();
    }
    let ids = || {
        let table = flows(&bed, &["-p", "udp"]);
        let id = |flow: &String| flow.rsplit(" id=").next().map(str::to_owned);
        table
            .iter()
            .map(id)
            .collect::<std::collections::BTreeSet<_>>()
    };
    let before = ids();
    assert_eq!(before.len(), 3, "{before:?}");
    agent.signal(Signal::SIGKILL);
    drop(agent);
    let mut agent = Agent::start(&bed, &directory, &[]);
    let count = "kubeproxy_conntrack_reconciler_sync_duration_seconds_count{ip_family=\"IPv4\"}";
    agent.eventually("it has looked at the table", |agent| {
        agent.metric(count) >= Some(1.0)
    });
    assert_eq!(ids(), before);
    let deleted = "kubeproxy_conntrack_reconciler_deleted_entries_total{ip_family=\"IPv4\"}";
    assert_eq!(agent.metric(deleted), Some(0.0));
    agent.stop();
}

#[test]
fn what_changed_while_nobody_watched_is_made_up_for_at_the_start() {
    let bed = Testbed::with_pods(3);
    let directory = Directory::new();
    let deleted = Service::new("deleted", "10.233.10.71")
        .over(Protocol::Udp)
        .to([bed.pod(1)]);
    directory.write("dns.yaml", &[dns(&bed, 1), deleted]);
    let agent = Agent::start(&bed, &directory, &[]);
    let inside = Client::new(&bed.pod(3).namespace, 5353, TARGET);
    let orphan = Client::new(&bed.pod(3).namespace, 5354, "10.233.10.71:80");
    for client in [&inside, &orphan] {
        assert_eq!(client.ask().as_deref(), Ok("pod-1"));
    }
    agent.signal(Signal::SIGKILL);
    drop(agent);
    directory.write("dns.yaml", &[dns(&bed, 2)]);
    let agent = Agent::start(&bed, &directory, &[]);
    inside.eventually(Ok("pod-2"));
    let _ = orphan.ask();
    eventually("the flow of the deleted Service goes", || {
        let table = flows(&bed, &["-p", "udp", "--orig-dst", "10.233.10.71"]);
        !table.iter().any(|flow| flow.contains(&bed.pod(1).v4))
    });
    agent.stop();
}

#[test]
fn another_namespace_is_cleaned_from_outside() {
    let bed = Testbed::with_pods(3);
    let netns = bed.node.namespace.path();
    let apply = |services: &[Service]| {
        let manifest = bed.write(services);
        let more = ["--netns", netns.to_str().unwrap()];
        let output = bed.command("apply", &manifest, &more).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    apply(&[dns(&bed, 1)]);
    let client = Client::new(&bed.pod(3).namespace, 5353, TARGET);
    assert_eq!(client.ask().as_deref(), Ok("pod-1"));
    let said = apply(&[dns(&bed, 2)]);
    assert!(
        said.contains("removed 1 connection that led nowhere\n"),
        "{said}"
    );
    assert_eq!(client.ask().as_deref(), Ok("pod-2"));
}

//! A connection table with very many entries.

use std::fmt::Write;
use std::time::Instant;

use crate::agent::{Agent, Directory};
use crate::support::{Protocol, Service, Testbed};

const VIP: &str = "10.233.10.70";
/// Flows to an endpoint that goes, and flows of somebody else.
const STALE: u32 = 60_000;
const OTHERS: u32 = 40_000;

/// As `conntrack -L -o save` writes flows, and `conntrack --load-file` reads them.
fn table(vip: &str, endpoint: &str, count: u32, network: u8) -> String {
    let mut text = String::new();
    for number in 0..count {
        let (client, port) = (number / 30_000, 1024 + number % 30_000);
        let client = format!("10.{network}.0.{}", client + 1);
        writeln!(
            text,
            "-A -t 600 -u SEEN_REPLY -s {client} -d {vip} -r {endpoint} -q {client} \
             -p udp --sport {port} --dport 80 --reply-port-src 8080 --reply-port-dst {port}"
        )
        .unwrap();
    }
    text
}

#[test]
fn k129982_a_table_with_very_many_flows_is_cleaned_beside_the_rules() {
    let bed = Testbed::with_pods(3);
    let directory = Directory::new();
    let dns = |endpoint| {
        Service::new("dns", VIP)
            .over(Protocol::Udp)
            .to([bed.pod(endpoint)])
    };
    let other = |endpoint| Service::new("other", "10.233.10.71").to([bed.pod(endpoint)]);
    directory.write("dns.yaml", &[dns(1)]);
    directory.write("other.yaml", &[other(1)]);
    let mut agent = Agent::start(&bed, &directory, &[]);
    let flows =
        table(VIP, &bed.pod(1).v4, STALE, 77) + &table("10.99.0.1", "10.99.0.1", OTHERS, 78);
    let file = bed.directory.path().join("flows");
    std::fs::write(&file, flows).unwrap();
    let node = &bed.node.namespace;
    node.run("conntrack", &["--load-file", file.to_str().unwrap()]);
    let count = || {
        node.sysctl("netfilter/nf_conntrack_count")
            .parse::<u32>()
            .unwrap()
    };
    let full = count();
    assert!(full >= STALE + OTHERS, "{full}");

    let memory = agent.anonymous_memory();
    let started = Instant::now();
    directory.write("dns.yaml", &[dns(2)]);
    agent.eventually("the pass is under way", |_| count() < full);
    // A change of rules while connections are being removed.
    directory.write("other.yaml", &[other(2)]);
    agent.eventually("the other Service", |agent| {
        agent.log().matches(" services=1 ").count() >= 2
    });
    let programmed = started.elapsed();
    let left = count();
    let deleted = "kubeproxy_conntrack_reconciler_deleted_entries_total{ip_family=\"IPv4\"}";
    agent.eventually("all of them are gone, and counted", |agent| {
        agent.metric(deleted) >= Some(f64::from(STALE))
    });
    println!(
        "{STALE} of {full} flows removed in {:?}; after {programmed:?}, with {left} left, \
         the next change was in force",
        started.elapsed()
    );
    assert!(
        left > OTHERS + STALE / 20,
        "the change had to wait for the table: {left} left"
    );
    assert!(count() >= OTHERS, "flows of others went");
    let grown = agent.anonymous_memory().saturating_sub(memory);
    assert!(grown < 8_000_000, "{grown} bytes for {STALE} flows");
    bed.pod(3)
        .dial("10.233.10.71:80")
        .times(5)
        .assert_only(&["pod-2"]);
    agent.stop();
}

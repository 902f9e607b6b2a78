//! A programmer in the namespace of the calling thread, and what the kernel holds.

use std::collections::BTreeSet;
use std::net::IpAddr;

use clap::Parser;
use portolan::agent::backend::{Backend, Outcome};
use portolan::agent::facts::NodeFacts;
use portolan::agent::iptables::Iptables;
use portolan::agent::iptables::live::LiveSync;
use portolan::config::{ProxyConfig, ProxyFlags};
use portolan::model::{
    Endpoint, EndpointPort, EndpointSlice, IpFamily, NamespacedName, Node, Protocol, Service,
    ServicePort, Snapshot, TargetPort, Touched,
};

use crate::kernel_support::{run, socket};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    flags: ProxyFlags,
}

/// Node `here` of the random clusters.
pub(super) fn config() -> ProxyConfig {
    let line = [
        "portolan",
        "--mode",
        "iptables",
        "--cluster-cidr",
        "10.233.64.0/18",
    ];
    ProxyConfig::from_flags(&Line::parse_from(line).flags, "here").unwrap()
}

/// A programmer that has not started.
pub(super) fn programmer() -> LiveSync {
    LiveSync::new(socket(), &config(), false).unwrap()
}

/// The mode's settings.
pub(super) fn backend(snapshot: &Snapshot) -> Iptables {
    Iptables::new(
        snapshot,
        &config(),
        &NodeFacts::probe(&mut socket()).unwrap(),
    )
}

/// The node that rules are for.
pub(super) fn node() -> Node {
    Node {
        name: "here".into(),
        addresses: vec!["192.168.10.100".parse().unwrap()],
        ..Node::default()
    }
}

/// Adds or replaces a Service of one port with so many endpoints, and gives its name.
pub(super) fn add_service(snapshot: &mut Snapshot, number: u8, endpoints: u16) -> NamespacedName {
    let name = NamespacedName::new("shop", format!("s{number}"));
    let cluster_ip: IpAddr = [10, 233, 0, number].into();
    let service = Service {
        cluster_ips: vec![cluster_ip],
        ip_families: vec![IpFamily::V4],
        ports: vec![ServicePort {
            name: "http".into(),
            protocol: Protocol::Tcp,
            port: 80,
            target_port: TargetPort::Number(8080),
            node_port: None,
        }],
        ..Service::new(name.clone())
    };
    let endpoint = |index: u16| {
        let [high, low] = index.to_be_bytes();
        Endpoint {
            address: [10, 234 + high, number, low].into(),
            ready: true,
            serving: true,
            terminating: false,
            node_name: Some("there".into()),
            zone: None,
            zone_hints: Vec::new(),
            node_hints: Vec::new(),
            hostname: None,
            pod: None,
        }
    };
    let slice = EndpointSlice {
        name: NamespacedName::new("shop", format!("s{number}-0")),
        service: name.clone(),
        family: IpFamily::V4,
        ports: vec![EndpointPort {
            name: "http".into(),
            protocol: Protocol::Tcp,
            port: 8080,
        }],
        endpoints: (0..endpoints).map(endpoint).collect(),
    };
    snapshot.services.insert(name.clone(), service);
    snapshot.slices.insert(name.clone(), vec![slice]);
    name
}

/// What changes of these Services touch.
pub(super) fn touched(services: BTreeSet<NamespacedName>) -> Touched {
    Touched {
        services,
        ..Touched::default()
    }
}

/// A comparison of everything finds nothing to do.
pub(super) fn assert_in_force(snapshot: &Snapshot) {
    let comparison = backend(snapshot)
        .compare(&mut socket(), snapshot, false)
        .unwrap();
    assert!(comparison.is_equal(), "{:?}", comparison.summary());
}

/// What `iptables-save` and `ip6tables-save` show, without counters and dates. Rules of chains that
/// Services share are sorted: those for different packets have no order.
pub(super) fn saved() -> Vec<String> {
    let mut lines = Vec::new();
    for program in ["iptables-save", "ip6tables-save"] {
        let text = run(program, &[]);
        let mut table = String::new();
        let mut all: Vec<(String, usize, String)> = Vec::new();
        for (number, line) in text.lines().enumerate() {
            if let Some(name) = line.strip_prefix('*') {
                table = name.to_owned();
            }
            let line = line.split(" [").next().unwrap();
            let words: Vec<&str> = line.split(' ').collect();
            let place = match *words {
                [] | ["#", ..] | ["*" | "COMMIT"] => continue,
                ["-A", chain, ..] if is_shared(chain) => 0,
                _ => number,
            };
            let key = words.iter().take(2).copied().collect::<Vec<_>>().join(" ");
            // Chains are listed in the order they were made in.
            let place = if line.starts_with(':') { 0 } else { place };
            all.push((format!("{program} {table} {key}"), place, line.to_owned()));
        }
        all.sort();
        lines.extend(
            all.into_iter()
                .map(|(key, _, line)| format!("{key}: {line}")),
        );
    }
    lines
}

fn is_shared(chain: &str) -> bool {
    [
        "KUBE-SERVICES",
        "KUBE-NODEPORTS",
        "KUBE-EXTERNAL-SERVICES",
        "KUBE-PROXY-FIREWALL",
    ]
    .contains(&chain)
}

/// The same lines, or the first that differ.
pub(super) fn assert_same(present: &[String], expected: &[String]) {
    let missing: Vec<_> = expected.iter().filter(|l| !present.contains(l)).collect();
    let extra: Vec<_> = present.iter().filter(|l| !expected.contains(l)).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "missing {missing:#?}, extra {extra:#?}"
    );
    assert!(present == expected, "another order");
}

//! What monitoring sees.

use std::net::TcpListener;

use serde_json::Value;

use crate::agent::{Agent, Directory};
use crate::support::program::Mode;
use crate::support::{Service, Testbed};

fn directory(bed: &Testbed) -> Directory {
    let directory = Directory::new();
    let web = Service::new("web", "10.233.10.10").to(&bed.pods);
    directory.write("web.yaml", &[web]);
    directory
}

/// Every line of a scrape is a comment, or a name with labels and a number; every metric has a
/// type, stated once and before its samples.
fn parse(text: &str) {
    let mut types = std::collections::BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(types.insert(name.to_owned()), "twice: {line}");
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').unwrap();
            value.parse::<f64>().unwrap_or_else(|_| panic!("{line}"));
            let name = series.split('{').next().unwrap();
            let stems = ["", "_bucket", "_sum", "_count"].map(|end| name.strip_suffix(end));
            let known = stems.into_iter().flatten().any(|stem| types.contains(stem));
            assert!(known, "no type: {line}");
        }
    }
}

#[test]
fn metrics_are_what_prometheus_reads_and_dashboards_for_kube_proxy_ask_for() {
    let bed = Testbed::with_pods(2);
    let directory = directory(&bed);
    let mut agent = Agent::start(&bed, &directory, &[]);
    let reply = agent.get("127.0.0.1:10249/metrics");
    assert_eq!(reply.code, 200);
    assert!(
        reply
            .headers
            .contains("content-type: text/plain; version=0.0.4"),
        "{}",
        reply.headers
    );
    parse(&reply.body);
    let mut positive = vec![
        "kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family=\"IPv4\"}",
        "kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family=\"IPv6\"}",
        "kubeproxy_sync_proxy_rules_service_changes_total",
        "kubeproxy_sync_proxy_rules_endpoint_changes_total",
        "portolan_commit_seconds_count",
        "portolan_commit_messages_total",
        "portolan_commit_bytes_total",
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
    ];
    let failures = Mode::expects(
        "kubeproxy_sync_proxy_rules_iptables_restore_failures_total{ip_family=\"IPv4\"}",
        "kubeproxy_sync_proxy_rules_nftables_sync_failures_total{ip_family=\"IPv4\"}",
    );
    positive.extend(Mode::expects(
        Some("kubeproxy_sync_proxy_rules_iptables_total{ip_family=\"IPv4\",table=\"nat\"}"),
        Some("portolan_elements{ip_family=\"IPv4\",part=\"endpoints\"}"),
    ));
    for name in positive {
        assert!(agent.metric(name) > Some(0.0), "{name}: {}", reply.body);
    }
    assert_eq!(agent.metric(failures), Some(0.0));

    let messages = "portolan_commit_messages_total";
    let before = agent.metric(messages);
    let web = Service::new("web", "10.233.10.10").to(&bed.pods[..1]);
    directory.write("web.yaml", &[web]);
    agent.eventually("the change is counted", |agent| {
        agent.metric(messages) > before
    });
    let latency = "kubeproxy_network_programming_duration_seconds_count{ip_family=\"IPv4\"}";
    assert_eq!(agent.metric(latency), Some(1.0));
}

#[test]
fn services_without_local_endpoints_are_counted() {
    let bed = Testbed::with_pods_and_far_pods(1, 1);
    let directory = Directory::new();
    let local = |name: &str, ip: &str| {
        Service::new(name, ip).field("internalTrafficPolicy", "Local".into())
    };
    directory.write("a.yaml", &[local("a", "10.233.10.10").to(&bed.far_pods)]);
    let mut agent = Agent::start(&bed, &directory, &[]);
    let name = "kubeproxy_sync_proxy_rules_no_local_endpoints_total\
                {ip_family=\"IPv4\",traffic_policy=\"internal\"}";
    assert_eq!(agent.metric(name), Some(1.0));
    directory.write("b.yaml", &[local("b", "10.233.10.11").to(&bed.far_pods)]);
    agent.eventually("two", |agent| agent.metric(name) == Some(2.0));
    directory.write("a.yaml", &[local("a", "10.233.10.10").to(&bed.pods)]);
    agent.eventually("one", |agent| agent.metric(name) == Some(1.0));
    directory.remove("b.yaml");
    agent.eventually("none", |agent| agent.metric(name) == Some(0.0));
}

#[test]
fn health_is_told_as_kube_proxy_tells_it() {
    let bed = Testbed::with_pods(1);
    let directory = directory(&bed);
    let agent = Agent::start(&bed, &directory, &[]);
    // From outside, as balancers ask.
    let outside = &bed.outside.namespace;
    let reply = crate::agent::get(outside, &format!("{}/healthz", bed.node.at(10256)));
    assert_eq!(reply.code, 200);
    assert!(
        reply.headers.contains("content-type: application/json"),
        "{}",
        reply.headers
    );
    assert!(
        reply.headers.contains("x-content-type-options: nosniff"),
        "{}",
        reply.headers
    );
    let body: Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(body["nodeEligible"], true);
    assert_eq!(body["status"]["IPv4"]["healthy"], true);
    let live = agent.get("127.0.0.1:10256/livez");
    assert_eq!(live.code, 200);
    let body: Value = serde_json::from_str(&live.body).unwrap();
    assert_eq!(body.get("nodeEligible"), None);
    assert_eq!(
        agent.metric("kubeproxy_proxy_healthz_total{code=\"200\"}"),
        Some(1.0)
    );
    assert_eq!(agent.get("127.0.0.1:10249/healthz").body, "ok");
    let mode = agent.get("127.0.0.1:10249/proxyMode");
    assert_eq!(mode.body, Mode::tested().name());
    let configz: Value = serde_json::from_str(&agent.get("127.0.0.1:10249/configz").body).unwrap();
    assert_eq!(
        configz["kubeproxy.config.k8s.io"]["mode"],
        Mode::tested().name()
    );
}

#[test]
fn servers_can_be_moved_and_switched_off() {
    let bed = Testbed::with_pods(1);
    let directory = directory(&bed);
    let flags = [
        "--metrics-bind-address",
        "192.168.10.100:9999",
        "--healthz-bind-address",
        "",
    ];
    let agent = Agent::start(&bed, &directory, &flags);
    assert_eq!(agent.get("192.168.10.100:9999/metrics").code, 200);
    assert_eq!(agent.get("127.0.0.1:10249/metrics").code, 0);
    assert_eq!(agent.get("127.0.0.1:10256/healthz").code, 0);
}

#[test]
fn a_port_in_use_is_told_and_taken_when_it_is_free() {
    let bed = Testbed::with_pods(1);
    let directory = directory(&bed);
    let take = || TcpListener::bind("0.0.0.0:10256").unwrap();
    let taken = bed.node.namespace.enter(take);
    let mut agent = Agent::start(&bed, &directory, &[]);
    assert!(
        agent.log().contains("cannot serve health at 0.0.0.0:10256"),
        "{}",
        agent.log()
    );
    assert_eq!(bed.node.dial("10.233.10.10:80").answer().server, "pod-1");
    drop(taken);
    agent.eventually("it serves", |agent| {
        agent.get("127.0.0.1:10256/healthz").code == 200
    });
    agent.stop();

    let _taken = bed.node.namespace.enter(take);
    let (status, log) = Agent::launch(&bed, &directory, &["--bind-address-hard-fail"]).ends();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("0.0.0.0:10256"), "{log}");
}

#[test]
fn logs_can_be_json() {
    let bed = Testbed::with_pods(1);
    let directory = directory(&bed);
    let agent = Agent::start(&bed, &directory, &["--log-format", "json"]);
    let log = agent.stop();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect();
    let start = lines.iter().find(|line| line["services"] == 1);
    let start = start.unwrap_or_else(|| panic!("{log}"));
    assert_eq!(start["level"], "INFO");
    assert_eq!(start["mode"], Mode::tested().name());
}

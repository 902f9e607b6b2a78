//! Names from the agent that makes the rules: what resolves can be reached.

use std::fs;
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;

use super::server::{line, question};
use crate::support::netns::Namespace;
use crate::support::program::PROGRAM;

const NAME: &str = "web.default.svc.cluster.local.";

fn web(address: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: web}}, spec: {{clusterIP: {address}, \
         ports: [{{port: 80}}]}}}}\n---\n{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, \
         metadata: {{name: web-a, labels: {{kubernetes.io/service-name: web}}}}, addressType: \
         IPv4, ports: [{{port: 80, name: \"\"}}], endpoints: [{{addresses: [10.233.65.1]}}]}}"
    )
}

fn ask(namespace: &Namespace) -> Option<String> {
    namespace.enter(|| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        let question = question(NAME, RecordType::A, None).to_vec().unwrap();
        socket.send_to(&question, "127.0.0.1:53").unwrap();
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).ok()?;
        Some(line(&Message::from_vec(&buffer[..length]).unwrap()))
    })
}

#[test]
fn names_follow_rules() {
    let namespace = Namespace::new();
    namespace.ip(&["link set lo up".to_owned()]);
    let directory = tempfile::tempdir().unwrap();
    let manifest = directory.path().join("web.yaml");
    fs::write(&manifest, web("10.0.0.7")).unwrap();
    let log = directory.path().join("log");
    let mut command = Command::new(PROGRAM);
    command
        .args(["run", "--dns-listen", "127.0.0.1", "--no-forward", "-f"])
        .arg(&manifest)
        .arg("--state-dir")
        .arg(directory.path().join("state"))
        .args(["--service-cidr", "10.0.0.0/24", "--node-name", "n0"])
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log).unwrap());
    let mut child = namespace.enter(|| command.spawn()).unwrap();
    let mut until = |address: &str| {
        let expected = format!("NOERROR web.default.svc A {address}");
        let start = Instant::now();
        while ask(&namespace).as_deref() != Some(&expected) {
            let text = || fs::read_to_string(&log).unwrap();
            assert!(start.elapsed() < Duration::from_secs(10), "{}", text());
            assert!(child.try_wait().unwrap().is_none(), "{}", text());
        }
        let rules = namespace.run("nft", &["list", "ruleset"]);
        assert!(rules.contains(address), "{rules}");
    };
    until("10.0.0.7");
    fs::write(&manifest, web("10.0.0.8")).unwrap();
    until("10.0.0.8");
    let metrics = namespace.run("curl", &["--silent", "http://127.0.0.1:10249/metrics"]);
    assert!(metrics.contains("coredns_dns_responses_total"), "{metrics}");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The agent's log says when the rules were there; the answer is asked for all the time.
#[test]
fn a_changed_endpoint_is_in_the_answer_right_after_the_rules() {
    const CHANGES: u8 = 15;
    /// Three times the five milliseconds that are promised of a machine that has nothing to do.
    const MOST: Duration = Duration::from_millis(15);
    let namespace = Namespace::new();
    namespace.ip(&["link set lo up".to_owned()]);
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::create_dir(path("manifests")).unwrap();
    let others: Vec<String> = (0..1000)
        .map(|n| {
            format!(
                "{{apiVersion: v1, kind: Service, metadata: {{name: svc-{n}}}, spec: {{ports: \
                 [{{port: 80}}]}}}}"
            )
        })
        .collect();
    fs::write(path("manifests/others.yaml"), others.join("\n---\n")).unwrap();
    let slice =
        |number: u8| {
            format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: web}}, spec: {{clusterIP: None, \
             ports: [{{port: 80}}]}}}}\n---\n{{apiVersion: v1, kind: Service, metadata: {{name: \
             vip}}, spec: {{clusterIP: 10.0.0.7, ports: [{{port: 80}}]}}}}\n---\n{0}web{1}\n---\n\
             {0}vip{1}",
            "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {labels: \
             {kubernetes.io/service-name: web}, name: ",
            format_args!(
                "}}, addressType: IPv4, ports: [{{port: 80, name: \"\"}}], endpoints: \
                 [{{addresses: [10.233.65.{number}]}}]}}"
            )
        )
        .replacen("service-name: web}, name: vip", "service-name: vip}, name: vip", 1)
        };
    let write = |number: u8| {
        fs::write(path("new"), slice(number)).unwrap();
        fs::rename(path("new"), path("manifests/web.yaml")).unwrap();
    };
    write(1);
    let mut command = Command::new(PROGRAM);
    command
        .args(["run", "--dns-listen", "127.0.0.1", "--no-forward"])
        .args(["--service-cidr", "10.0.0.0/16", "--node-name", "n0"])
        .arg("-f")
        .arg(path("manifests"))
        .arg("--state-dir")
        .arg(path("state"))
        .env("RUST_LOG", "debug,mnl=warn")
        .stdout(Stdio::null())
        .stderr(fs::File::create(path("log")).unwrap());
    let mut child = namespace.enter(|| command.spawn()).unwrap();
    let log = || fs::read_to_string(path("log")).unwrap();
    let until = |number: u8| {
        let expected = format!("NOERROR web.default.svc A 10.233.65.{number}");
        let start = Instant::now();
        while ask(&namespace).as_deref() != Some(&expected) {
            assert!(start.elapsed() < Duration::from_secs(20), "{}", log());
        }
        SystemTime::now()
    };
    until(1);
    let mut gaps: Vec<Duration> = (2..2 + CHANGES)
        .map(|number| {
            write(number);
            let answered = until(number);
            let log = log();
            let line = log.lines().rev().find(|line| line.contains(" programmed "));
            let stamp = line.and_then(|line| line.split(' ').next()).unwrap();
            let programmed: jiff::Timestamp = stamp.parse().unwrap();
            let programmed = SystemTime::from(programmed);
            answered.duration_since(programmed).unwrap_or_default()
        })
        .collect();
    gaps.sort_unstable();
    let median = gaps[gaps.len() / 2];
    println!(
        "in the answer {median:?} after the rules (median), {:?} at most",
        gaps.last()
    );
    assert!(median < MOST, "{gaps:?}");
    child.kill().unwrap();
    child.wait().unwrap();
}

//! Names from the agent that makes the rules: what resolves can be reached.

use std::fs;
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

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

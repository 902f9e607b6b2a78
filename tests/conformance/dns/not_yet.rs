//! Before the manifests are read.

use std::io::Write;
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;

use super::server::{line, question};
use crate::support::netns::Namespace;
use crate::support::program::PROGRAM;

/// One answer over UDP; `None` while nobody answers.
fn ask(name: &str) -> Option<String> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let patience = Some(Duration::from_millis(500));
    socket.set_read_timeout(patience).unwrap();
    let bytes = question(name, RecordType::A, None).to_vec().unwrap();
    socket.send_to(&bytes, "127.0.0.1:53").unwrap();
    let mut buffer = [0; 512];
    let length = socket.recv(&mut buffer).ok()?;
    Some(line(&Message::from_vec(&buffer[..length]).unwrap()))
}

fn until(name: &str, expected: &str) {
    let start = Instant::now();
    loop {
        let got = ask(name);
        if got.as_deref() == Some(expected) {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{got:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn names_of_the_zone_are_failures_and_never_unknown() {
    let namespace = Namespace::new();
    namespace.ip(&["link set lo up".to_owned()]);
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(PROGRAM);
    command
        .args(["dns", "--listen", "127.0.0.1", "--no-forward", "-f", "-"])
        .args(["--metrics-bind-address", ""])
        .args(["--service-cidr", "10.0.0.0/24"])
        .arg("--state-dir")
        .arg(directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = namespace.enter(|| command.spawn()).unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let (known, unknown) = (
        "web.default.svc.cluster.local.",
        "nosuch.default.svc.cluster.local.",
    );
    // The manifests do not end.
    namespace.enter(|| {
        until(known, "SERVFAIL");
        assert_eq!(ask(unknown).as_deref(), Some("SERVFAIL"));
        assert_eq!(ask("www.example.com.").as_deref(), Some("REFUSED"));
    });
    stdin
        .write_all(
            b"{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {clusterIP: 10.0.0.7, \
              ports: [{port: 80}]}}",
        )
        .unwrap();
    drop(stdin);
    namespace.enter(|| {
        until(known, "NOERROR web.default.svc A 10.0.0.7");
        let got = ask(unknown);
        assert_eq!(got.as_deref(), Some("NXDOMAIN soa cluster.local."));
    });
    child.kill().unwrap();
    child.wait().unwrap();
}

//! `portolan port-forward` on manifests: a developer's machine, here a namespace with nothing but a
//! loopback interface, reaches Services through a node's namespace. Root is needed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a failed test"
)]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use support::program::{PROGRAM, portolan_in};
use support::{Host, Outcome, Protocol, Service, Testbed};

/// A developer's machine.
fn developer() -> Host {
    let host = Host::new("developer", "127.0.0.1", "::1");
    host.namespace.ip(&["link set lo up".to_owned()]);
    host
}

/// A ClusterIP Service, which nothing outside the cluster reaches.
fn web<'a>(pods: impl IntoIterator<Item = &'a Host>) -> Service {
    Service::new("web", "10.233.10.10").to(pods)
}

/// A running port-forward. It is killed with the test.
struct Forward {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Forward {
    /// Starts it and reads the lines that say where it listens.
    fn start(bed: &Testbed, host: &Host, args: &[&str], lines: usize) -> (Self, Vec<String>) {
        let node = bed.node.namespace.path();
        let mut command = Command::new(PROGRAM);
        command.arg("port-forward").arg("-f");
        command.arg(bed.directory.path().join("services.yaml"));
        command.arg("--netns").arg(node).args(args);
        command.stdout(Stdio::piped());
        let mut child = host.namespace.enter(|| command.spawn()).unwrap();
        let lines_of = BufReader::new(child.stdout.take().unwrap());
        let mut forward = Self {
            child,
            lines: lines_of,
        };
        let said = (0..lines).map(|_| forward.line()).collect();
        (forward, said)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_cluster_ip_service_is_reached_from_outside() {
    let bed = Testbed::with_pods(2);
    bed.write(&[web(&bed.pods)]);
    let host = developer();
    let args = ["svc/web", "8080:80"];
    let (mut forward, lines) = Forward::start(&bed, &host, &args, 2);
    assert_eq!(
        lines,
        [
            "Forwarding from 127.0.0.1:8080 -> 80",
            "Forwarding from [::1]:8080 -> 80"
        ]
    );
    host.dial("127.0.0.1:8080")
        .times(20)
        .assert_only(&["pod-1", "pod-2"]);
    assert_eq!(forward.line(), "Handling connection for 8080");
    host.dial("[::1]:8080")
        .times(4)
        .assert_only(&["pod-1", "pod-2"]);
    assert!(host.curl("127.0.0.1:8080").starts_with("pod-"));
}

#[test]
fn an_endpoint_that_is_replaced_is_replaced_here_too() {
    let bed = Testbed::with_pods(2);
    bed.write(&[web(&bed.pods[..1])]);
    let host = developer();
    let (_forward, _) = Forward::start(&bed, &host, &["service/web", "8080:p0"], 2);
    let mut talk = host.dial("127.0.0.1:8080").converse();
    assert_eq!(talk.say("before").unwrap(), "pod-1");
    bed.write(&[web(&bed.pods[1..2])]);
    let end = Instant::now() + Duration::from_secs(30);
    while host.dial("127.0.0.1:8080").answer().server != "pod-2" {
        assert!(Instant::now() < end, "the new endpoint is not used");
        std::thread::sleep(Duration::from_millis(20));
    }
    // What was there goes on.
    assert_eq!(talk.say("after").unwrap(), "pod-1");
}

#[test]
fn several_ports_and_any_local_one() {
    let bed = Testbed::with_pods(2);
    let service = web(&bed.pods[..1])
        .port(Protocol::Tcp, 443)
        .to(&bed.pods[1..])
        .port(Protocol::Udp, 53)
        .to(&bed.pods[1..]);
    bed.write(&[service]);
    let host = developer();
    let args = [
        "svc/web",
        ":80",
        "8443:p1",
        "5353:53/udp",
        "--address",
        "127.0.0.1",
    ];
    let (_forward, lines) = Forward::start(&bed, &host, &args, 3);
    let random = lines[0].strip_prefix("Forwarding from 127.0.0.1:").unwrap();
    let random = random.strip_suffix(" -> 80").unwrap();
    assert_eq!(lines[1], "Forwarding from 127.0.0.1:8443 -> 443");
    assert_eq!(lines[2], "Forwarding from 127.0.0.1:5353/udp -> 53");
    let first = host.dial(&format!("127.0.0.1:{random}"));
    first.times(4).assert_only(&["pod-1"]);
    host.dial("127.0.0.1:8443").times(4).assert_only(&["pod-2"]);
    let udp = host.dial("127.0.0.1:5353").over(Protocol::Udp);
    udp.times(4).assert_only(&["pod-2"]);
    let other = host.dial("[::1]:8443").impatiently().once();
    assert_eq!(other, Outcome::Refused);
}

#[test]
fn a_pod_is_reached_at_a_port_that_no_service_has() {
    let bed = Testbed::with_pods(1);
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: web-0, labels: {{app: web}}}}\n\
         spec: {{nodeName: n0, containers: [{{name: a, ports: \
         [{{name: http, containerPort: 8080}}]}}]}}\n\
         status: {{podIP: {}, podIPs: [{{ip: {0}}}], phase: Running, \
         conditions: [{{type: Ready, status: 'True'}}]}}\n",
        bed.pod(1).v4
    );
    std::fs::write(bed.directory.path().join("services.yaml"), pod).unwrap();
    let host = developer();
    let args = ["pod/web-0", "8080", "8081:http"];
    let (_forward, _) = Forward::start(&bed, &host, &args, 4);
    for port in [8080, 8081] {
        let target = format!("127.0.0.1:{port}");
        assert_eq!(host.dial(&target).answer().server, "pod-1");
    }
}

#[test]
fn mistakes_are_told_in_a_sentence() {
    let bed = Testbed::with_pods(1);
    bed.write(&[web(&bed.pods)]);
    let host = developer();
    let file = bed.directory.path().join("services.yaml");
    let node = bed.node.namespace.path();
    let (file, node) = (file.to_str().unwrap(), node.to_str().unwrap());
    let taken = host
        .namespace
        .enter(|| std::net::TcpListener::bind("127.0.0.1:8080"))
        .unwrap();
    let cases: [(&[&str], i32, &str); 6] = [
        (
            &["svc/nowhere", "80"],
            1,
            "there is no service/nowhere in namespace default",
        ),
        (
            &["svc/web", "-n", "other", "80"],
            1,
            "there is no service/web in namespace other",
        ),
        (
            &["svc/web", "81"],
            1,
            "service/web has no port 81 of TCP; it has 80/TCP",
        ),
        (
            &["node/n0", "80"],
            2,
            "no ports of a \"node\" can be forwarded",
        ),
        (&["svc/web", "80:x:y"], 2, "not a port such as"),
        (
            &["svc/web", "8080:80", "--address", "127.0.0.1"],
            1,
            "cannot listen for port 80: 127.0.0.1:8080: Address already in use",
        ),
    ];
    for (args, code, text) in cases {
        let common = ["port-forward", "-f", file, "--netns", node];
        let run = portolan_in(&host.namespace, &[&common, args].concat()).exits(code);
        assert!(run.stderr.contains(text), "{args:?}: {}", run.stderr);
    }
    drop(taken);
}

#[test]
fn an_interrupt_ends_it_without_complaint() {
    let bed = Testbed::with_pods(1);
    bed.write(&[web(&bed.pods)]);
    let host = developer();
    let (mut forward, _) = Forward::start(&bed, &host, &["svc/web", "8080:80"], 2);
    let _talk = host.dial("127.0.0.1:8080").converse();
    let pid = Pid::from_raw(forward.child.id().try_into().unwrap());
    kill(pid, Signal::SIGINT).unwrap();
    assert!(forward.child.wait().unwrap().success());
}

//! `portolan port-forward --lab`: Services and pods of a lab at ports of this machine's loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::bench::{PATIENCE, TestLab};
use crate::support::program::PROGRAM;

/// A Deployment, a StatefulSet, a DaemonSet and a Pod, and a Service of TCP and UDP that no address
/// outside the lab leads to.
const ALL_KINDS: &str = "\
apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 2\n  \
selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    \
spec: {containers: [{name: c, ports: [{name: http, containerPort: 8080}, \
{name: dns, containerPort: 53, protocol: UDP}]}]}\n---\n\
apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db}\nspec:\n  replicas: 2\n  serviceName: db\n  \
selector: {matchLabels: {app: db}}\n  template:\n    metadata: {labels: {app: db}}\n    \
spec: {containers: [{name: c, ports: [{name: cql, containerPort: 9042}]}]}\n---\n\
apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: agent}\nspec:\n  \
selector: {matchLabels: {app: agent}}\n  template:\n    metadata: {labels: {app: agent}}\n    \
spec: {containers: [{name: c, ports: [{containerPort: 53, protocol: UDP}]}]}\n---\n\
apiVersion: v1\nkind: Pod\nmetadata: {name: single, namespace: prod}\n\
spec: {nodeName: n2, containers: [{name: c, ports: [{containerPort: 7000}]}]}\n---\n\
apiVersion: v1\nkind: Service\nmetadata: {name: web}\n\
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}, \
{name: dns, port: 53, targetPort: dns, protocol: UDP}]}\n";

/// A running port-forward, which ends with the test.
struct Forward {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Forward {
    /// Starts it for any ports of 127.0.0.1, and says which they are.
    fn start(lab: &TestLab, args: &[&str], ports: usize) -> (Self, Vec<u16>) {
        let mut command = Command::new(PROGRAM);
        command
            .arg("port-forward")
            .arg(format!("--lab={}", lab.name));
        command.args(["--address", "127.0.0.1"]).args(args);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let listening = (0..ports).map(|_| {
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            let rest = line.strip_prefix("Forwarding from 127.0.0.1:").unwrap();
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().unwrap()
        });
        let listening = listening.collect();
        (Self { child, lines }, listening)
    }
}

/// The name of the pod that answers a line over TCP.
fn tcp(port: u16) -> Option<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut connection = TcpStream::connect(address).ok()?;
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection.write_all(b"hello\n").ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    pod_of(&answer)
}

/// The same over UDP, where an answer that does not come is asked for again.
fn udp(port: u16) -> Option<String> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    socket.send(b"hello").ok()?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).ok()?;
    pod_of(&String::from_utf8_lossy(&answer[..length]))
}

/// `POD` of `POD on NODE sees CLIENT`.
fn pod_of(answer: &str) -> Option<String> {
    let (pod, rest) = answer.split_once(" on ")?;
    rest.contains(" sees ").then(|| pod.to_owned())
}

fn names(lab: &TestLab, owner: &str) -> Vec<String> {
    let mut names: Vec<String> = lab.pods_of(owner).into_iter().map(|(pod, _)| pod).collect();
    names.sort();
    names
}

/// Who answers, in so many questions.
fn askers(count: usize, ask: impl Fn() -> Option<String>) -> Vec<String> {
    let mut answered: Vec<String> = (0..count).filter_map(|_| ask()).collect();
    assert_eq!(answered.len(), count, "{answered:?}");
    answered.sort();
    answered.dedup();
    answered
}

#[test]
fn services_pods_and_workloads_of_a_lab_are_reached_from_the_loopback_of_its_host() {
    let lab = TestLab::with_manifests(ALL_KINDS);
    let web = names(&lab, "Deployment default/web");
    let (mut service, ports) = Forward::start(&lab, &["svc/web", ":80", ":http", ":53/udp"], 3);
    assert_eq!(askers(8, || tcp(ports[0])), web);
    let mut line = String::new();
    service.lines.read_line(&mut line).unwrap();
    assert_eq!(line.trim(), format!("Handling connection for {}", ports[0]));
    assert_eq!(askers(8, || tcp(ports[1])), web);
    assert_eq!(askers(8, || udp(ports[2])), web);
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "30"])
        .arg(format!("http://127.0.0.1:{}/", ports[0]))
        .output()
        .unwrap();
    let answer = String::from_utf8(output.stdout).unwrap();
    assert!(web.contains(&pod_of(&answer).unwrap()), "{answer}");

    let (_deploy, ports) = Forward::start(&lab, &["deploy/web", ":8080"], 1);
    assert_eq!(askers(8, || tcp(ports[0])), web);
    let (_sts, ports) = Forward::start(&lab, &["sts/db", ":cql"], 1);
    assert_eq!(askers(8, || tcp(ports[0])), ["db-0", "db-1"]);
    let (_ds, ports) = Forward::start(&lab, &["ds/agent", ":53/udp"], 1);
    let agents = names(&lab, "DaemonSet default/agent");
    assert_eq!(askers(12, || udp(ports[0])), agents);
    let (_pod, ports) = Forward::start(&lab, &["pod/single", "-n", "prod", ":7000"], 1);
    assert_eq!(askers(4, || tcp(ports[0])), ["single"]);
    let (_pod, ports) = Forward::start(&lab, &["db-1", ":9042"], 1);
    assert_eq!(askers(4, || tcp(ports[0])), ["db-1"]);
}

#[test]
fn forwarding_into_a_lab_outlives_scaled_and_failed_pods() {
    let lab = TestLab::with_manifests(ALL_KINDS);
    let owner = "Deployment default/web";
    let (_service, ports) = Forward::start(&lab, &["svc/web", ":80", ":53/udp"], 2);
    let (_deploy, more) = Forward::start(&lab, &["deploy/web", ":8080"], 1);
    let follow = |what: &str| {
        let web = names(&lab, owner);
        for (way, port) in [("svc", ports[0]), ("udp", ports[1]), ("deploy", more[0])] {
            TestLab::eventually(&format!("{what}: {way} leads to {web:?}"), || {
                let ask = || if way == "udp" { udp(port) } else { tcp(port) };
                let mut answered: Vec<String> = (0..3 * web.len()).filter_map(|_| ask()).collect();
                answered.sort();
                answered.dedup();
                answered == web
            });
        }
    };
    follow("at first");
    lab.run("scale", &["deploy/web", "4"]).exits(0);
    follow("scaled up");
    lab.run("scale", &["deploy/web", "1"]).exits(0);
    follow("scaled down");
    // The node that connections were made from, and then the one that the pod is on.
    lab.run("fail", &["n1"]).exits(0);
    follow("after n1 failed");
    lab.run("heal", &[]).exits(0);
    let (pod, node) = lab.pods_of(owner).remove(0);
    lab.run("fail", &[&node]).exits(0);
    assert_ne!(names(&lab, owner), [pod]);
    follow("after its node failed");
}

#[test]
fn what_a_lab_does_not_have_is_told_in_a_sentence() {
    let lab = TestLab::with_manifests(ALL_KINDS);
    let flag = format!("--lab={}", lab.name);
    for (args, words) in [
        (
            ["svc/nowhere", "80"],
            "there is no service/nowhere in namespace default",
        ),
        (
            ["svc/web", "81"],
            "service/web has no port 81 of TCP; it has 80/TCP, 53/UDP",
        ),
        (
            ["sts/db", "nothing"],
            "statefulset/db has no port nothing of TCP; it has cql (9042/TCP)",
        ),
    ] {
        let run =
            crate::support::program::portolan(&[&["port-forward", &flag], &args[..]].concat());
        let run = run.exits(1);
        assert!(run.stderr.contains(words), "{args:?}: {}", run.stderr);
    }
    let run =
        crate::support::program::portolan(&["port-forward", "--lab=no-such", "svc/web", "80"]);
    assert_ne!(run.code, Some(0));
    assert!(run.stderr.contains("no-such"), "{}", run.stderr);
}

//! DNS at its service's address, answered on the node itself.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use tempfile::TempDir;

use super::server::{Server, line, question};
use crate::support::netns::Namespace;
use crate::support::program::PROGRAM;

const VIPS: [&str; 2] = ["10.233.0.3", "fd00:10:233::3"];
const NAME: &str = "web.default.svc.cluster.local";
/// What the node itself answers, and what the endpoint of the Service does.
const OWN: &str = "10.233.0.7";
const ENDPOINTS: &str = "10.0.0.9";
/// Seconds until an address goes that nobody renews, and some for a slow machine.
const LIFETIME: Duration = Duration::from_secs(30);

const MANIFESTS: &str = "
{apiVersion: v1, kind: Service, metadata: {name: kube-dns, namespace: kube-system}, spec: {clusterIP: 10.233.0.3, clusterIPs: [10.233.0.3, 'fd00:10:233::3'], ipFamilies: [IPv4, IPv6], ipFamilyPolicy: RequireDualStack, ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: kube-dns-4, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}}, addressType: IPv4, ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53}], endpoints: [{addresses: [10.233.64.3]}]}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: kube-dns-6, namespace: kube-system, labels: {kubernetes.io/service-name: kube-dns}}, addressType: IPv6, ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53}], endpoints: [{addresses: ['fd00:10:244::3']}]}
---
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {clusterIP: 10.233.0.7, ports: [{port: 80}]}}";

/// A node with a pod that asks and a pod that is the endpoint of kube-dns.
struct Bed {
    node: Namespace,
    client: Namespace,
    _endpoint: Server,
    directory: TempDir,
}

/// A pod: its namespace, linked to the node.
fn pod(node: &Namespace, number: u8) -> Namespace {
    let pod = Namespace::new();
    let (v4, v6) = (
        format!("10.233.64.{number}"),
        format!("fd00:10:244::{number}"),
    );
    let link = format!("pod{number}");
    node.ip(&[
        format!(
            "link add {link} type veth peer name eth0 netns {}",
            pod.path().display()
        ),
        format!("link set {link} up"),
        format!("address add 10.233.64.1/32 dev {link}"),
        format!("address add fd00:10:244::1/128 dev {link} nodad"),
        format!("route add {v4}/32 dev {link}"),
        format!("route add {v6}/128 dev {link}"),
    ]);
    pod.ip(&[
        "link set lo up".to_owned(),
        "link set eth0 up".to_owned(),
        format!("address add {v4}/32 dev eth0"),
        format!("address add {v6}/128 dev eth0 nodad"),
        "route add 10.233.64.1/32 dev eth0".to_owned(),
        "route add default via 10.233.64.1".to_owned(),
        "route add fd00:10:244::1/128 dev eth0".to_owned(),
        "route add default via fd00:10:244::1".to_owned(),
    ]);
    pod
}

impl Bed {
    fn new() -> Self {
        let node = Namespace::new();
        // The way out that a node has; nothing goes there.
        node.ip(&[
            "link set lo up".to_owned(),
            "link add eth0 type veth peer name net".to_owned(),
            "link set eth0 up".to_owned(),
            "link set net up".to_owned(),
            "address add 192.168.10.100/24 dev eth0".to_owned(),
            "address add fd00:10::100/64 dev eth0 nodad".to_owned(),
            "route add default via 192.168.10.1".to_owned(),
            "route add default via fd00:10::1".to_owned(),
        ]);
        let client = pod(&node, 2);
        let endpoint = pod(&node, 3);
        let web = "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {clusterIP: \
                   10.0.0.9, ports: [{port: 80}]}}";
        let listen = ["10.233.64.3", "fd00:10:244::3"];
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("a.yaml"), MANIFESTS).unwrap();
        Self {
            _endpoint: Server::within(endpoint, web, &listen, &["--no-forward"]),
            node,
            client,
            directory,
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    /// The agent, once it answers.
    fn start(&self, mode: &str) -> Agent {
        let path = |name: &str| self.directory.path().join(name);
        let mut command = Command::new(PROGRAM);
        command
            .args(["run", "--mode", mode, "--no-forward", "--node-name", "n0"])
            .args(VIPS.iter().flat_map(|vip| ["--dns-node-local", vip]))
            .args(["--service-cidr", "10.233.0.0/18,fd00:10:233::/112"])
            .args(["--cluster-cidr", "10.233.64.0/18,fd00:10:244::/56"])
            .args([Path::new("-f"), &path("a.yaml")])
            .args([Path::new("--state-dir"), &path("state")])
            .stdout(Stdio::null())
            .stderr(fs::File::create(path("log")).unwrap());
        let mut agent = Agent(self.node.enter(|| command.spawn()).unwrap());
        let start = Instant::now();
        while !self.log().contains("is answered on this node") {
            assert!(start.elapsed() < Duration::from_secs(20), "{}", self.log());
            assert!(agent.0.try_wait().unwrap().is_none(), "{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        agent
    }

    /// Everybody who asks gets this, over UDP and TCP.
    #[track_caller]
    fn all_get(&self, expected: &str) {
        for (asker, namespace) in [("pod", &self.client), ("node", &self.node)] {
            for vip in VIPS {
                for transport in ["+notcp", "+tcp"] {
                    let at = format!("@{vip}");
                    let args = ["+short", "+time=4", "+tries=1", transport, &at, NAME];
                    let got = namespace.run("dig", &args);
                    let log = self.log();
                    assert_eq!(got.trim(), expected, "{asker} {transport} {at}\n{log}");
                }
            }
        }
    }

    fn tracked(&self) -> usize {
        let count = |family| {
            let table = self.node.run("conntrack", &["-L", "-f", family]);
            table.lines().filter(|l| l.contains("dport=53 ")).count()
        };
        count("ipv4") + count("ipv6")
    }

    fn tables(&self) -> String {
        self.node.run("nft", &["list", "tables"])
    }

    fn addresses(&self) -> String {
        self.node.run("ip", &["address", "show", "dev", "lo"])
    }

    /// Asks all the time while something happens; nothing may stay without an answer.
    fn while_asking(&self, happens: impl FnOnce() + Send) -> Vec<String> {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| self.client.enter(|| ask_until(&stop)));
            std::thread::sleep(Duration::from_millis(300));
            happens();
            std::thread::sleep(Duration::from_millis(300));
            stop.store(true, Ordering::Relaxed);
            asking.join().unwrap()
        })
    }
}

/// One answer, or "none", for each question.
fn ask_until(stop: &AtomicBool) -> Vec<String> {
    let bytes = question(&format!("{NAME}."), RecordType::A, None);
    let bytes = bytes.to_vec().unwrap();
    let mut answers = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        socket.send_to(&bytes, (VIPS[0], 53)).unwrap();
        let mut buffer = [0; 512];
        answers.push(socket.recv(&mut buffer).map_or_else(
            |error| format!("none: {error}"),
            |length| line(&Message::from_vec(&buffer[..length]).unwrap()),
        ));
    }
    answers
}

struct Agent(Child);

impl Agent {
    fn ends_by(&mut self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serves_past_connection_tracking(mode: &str) {
    let bed = Bed::new();
    let mut agent = bed.start(mode);
    bed.all_get(OWN);
    assert_eq!(bed.tracked(), 0, "entries of conntrack");

    // Whoever flushes everything cannot flush what the agent owns.
    bed.node.run("nft", &["flush", "ruleset"]);
    bed.all_get(OWN);
    assert_eq!(bed.tracked(), 0, "entries of conntrack after a flush");

    // Nothing else of the node is to be had at the address of a Service.
    let _listener = bed
        .node
        .enter(|| TcpListener::bind("0.0.0.0:2222").unwrap());
    let error = bed.client.enter(|| {
        let vip: SocketAddr = format!("{}:2222", VIPS[0]).parse().unwrap();
        TcpStream::connect_timeout(&vip, Duration::from_secs(5)).unwrap_err()
    });
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);

    let answers = bed.while_asking(|| agent.ends_by(nix::sys::signal::Signal::SIGTERM));
    let from = |address: &str| format!("NOERROR web.default.svc A {address}");
    let count = |text: &str| answers.iter().filter(|a| **a == from(text)).count();
    assert_eq!(
        count(OWN) + count(ENDPOINTS),
        answers.len(),
        "{:?}",
        answers.iter().find(|a| a.starts_with("none"))
    );
    assert!(count(OWN) > 0 && count(ENDPOINTS) > 0, "{}", bed.log());
    bed.all_get(ENDPOINTS);
    assert!(bed.tracked() > 0, "translated packets are tracked");
    assert!(!bed.tables().contains("portolan-dns"), "{}", bed.tables());
    for vip in VIPS {
        assert!(!bed.addresses().contains(vip), "{}", bed.addresses());
    }
}

#[test]
fn nftables_mode_serves_past_connection_tracking_and_hands_back() {
    serves_past_connection_tracking("nftables");
}

#[test]
fn iptables_mode_serves_past_connection_tracking_and_hands_back() {
    serves_past_connection_tracking("iptables");
}

#[test]
fn a_killed_agent_leaves_no_hole() {
    let bed = Bed::new();
    let mut agent = bed.start("nftables");
    bed.all_get(OWN);
    agent.ends_by(nix::sys::signal::Signal::SIGKILL);
    assert!(!bed.tables().contains("portolan-dns"), "{}", bed.tables());
    bed.all_get(ENDPOINTS);
    let start = Instant::now();
    while VIPS.iter().any(|vip| bed.addresses().contains(vip)) {
        assert!(start.elapsed() < LIFETIME, "{}", bed.addresses());
        std::thread::sleep(Duration::from_millis(200));
    }
    // The next one finds the state of the first.
    let _agent = bed.start("nftables");
    bed.all_get(OWN);
}

/// What would last only as long as its lifetime is renewed, also if somebody takes it away.
#[test]
fn an_address_that_was_removed_comes_back() {
    let bed = Bed::new();
    let _agent = bed.start("nftables");
    let before = Instant::now();
    bed.node
        .ip(&["address del 10.233.0.3/32 dev lo".to_owned()]);
    while !bed.addresses().contains("10.233.0.3") {
        assert!(before.elapsed() < LIFETIME, "{}", bed.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    while before.elapsed() < Duration::from_secs(12) {
        std::thread::sleep(Duration::from_millis(500));
    }
    bed.all_get(OWN);
}

//! Three nodes with their rules, three pods, and a balancer which is also the client.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::program::{PROGRAM, portolan_in};
use crate::support::server::Server;
use crate::support::{Host, Protocol, Run};

const PATIENCE: Duration = Duration::from_secs(60);

/// `externalTrafficPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    Cluster,
    /// An agent on each node answers its health checks.
    Local,
}

/// The running network. Dropping it removes everything.
pub(crate) struct Network {
    pub(crate) balancer: Host,
    nodes: Vec<Host>,
    _pods: Vec<Host>,
    _servers: Vec<Server>,
    agents: Vec<Child>,
    directory: TempDir,
}

/// Name, last byte of the address, numbers of its pods.
const NODES: [(&str, u8, &[u8]); 3] = [("n1", 100, &[1, 2]), ("n2", 150, &[]), ("n3", 200, &[3])];

impl Network {
    pub(crate) fn new(policy: Policy) -> Self {
        let balancer = Host::new("balancer", "192.168.10.1", "fd00:192:168:10::1");
        balancer.namespace.ip(&[
            "link set lo up".to_owned(),
            "link add br0 type bridge mcast_snooping 0".to_owned(),
            "address add 192.168.10.1/24 dev br0".to_owned(),
            "link set br0 up".to_owned(),
        ]);
        let (mut nodes, mut pods) = (Vec::new(), Vec::new());
        for (name, host, numbers) in NODES {
            let node = add_node(&balancer, name, host);
            pods.extend(numbers.iter().map(|number| add_pod(&node, name, *number)));
            nodes.push(node);
        }
        let servers = pods
            .iter()
            .map(|pod| Server::start(&pod.namespace, &pod.name, Protocol::Tcp, 8080))
            .collect();
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("all.yaml"), manifests(policy)).unwrap();
        let mut network = Self {
            balancer,
            nodes,
            _pods: pods,
            _servers: servers,
            agents: Vec::new(),
            directory,
        };
        network.program(policy);
        for node in NODES
            .iter()
            .filter(|(_, _, pods)| policy == Policy::Cluster || !pods.is_empty())
        {
            let target = format!("192.168.10.{}:32000", node.1);
            network.balancer.dial(&target).answer();
        }
        network
    }

    fn program(&mut self, policy: Policy) {
        let manifest = self.directory.path().join("all.yaml");
        for node in &self.nodes {
            let state = self.directory.path().join(format!("state-{}", node.name));
            let mut args = vec![
                "-f",
                manifest.to_str().unwrap(),
                "--node-name",
                &node.name,
                "--state-dir",
                state.to_str().unwrap(),
            ];
            if policy == Policy::Cluster {
                args.insert(0, "apply");
                portolan_in(&node.namespace, &args).exits(0);
                continue;
            }
            args.insert(0, "run");
            args.extend(["--metrics-bind-address=", "--healthz-bind-address="]);
            let log = self.directory.path().join(format!("log-{}", node.name));
            let mut command = Command::new(PROGRAM);
            command.args(args).stderr(File::create(&log).unwrap());
            let child = node.namespace.enter(|| command.spawn()).unwrap();
            self.agents.push(child);
            wait(
                "an agent",
                || fs::read_to_string(&log).unwrap(),
                |log| log.contains(" runs"),
            );
        }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("haproxy.cfg")
    }

    pub(crate) fn pid_file(&self) -> PathBuf {
        self.directory.path().join("haproxy.pid")
    }

    /// `portolan haproxy` into the file.
    pub(crate) fn haproxy(&self, more: &[&str]) -> Run {
        let manifest = self.directory.path().join("all.yaml");
        let (file, pid_file) = (self.file(), self.pid_file());
        let state = self.directory.path().join("state");
        let mut args = vec![
            "haproxy",
            "-f",
            manifest.to_str().unwrap(),
            "-o",
            file.to_str().unwrap(),
            "--pidfile",
            pid_file.to_str().unwrap(),
            "--state-dir",
            state.to_str().unwrap(),
        ];
        args.extend(more);
        portolan_in(&self.balancer.namespace, &args)
    }

    /// Starts HAProxy and waits until it listens.
    pub(crate) fn start(&self) -> Haproxy {
        let log = self.directory.path().join("haproxy.log");
        let stderr = File::create(&log).unwrap();
        let mut command = Command::new("haproxy");
        command
            .args(["-W", "-f"])
            .arg(self.file())
            .arg("-p")
            .arg(self.pid_file());
        command.stdout(Stdio::null()).stderr(stderr);
        let child = self
            .balancer
            .namespace
            .enter(|| command.spawn())
            .expect("haproxy");
        let haproxy = Haproxy { child, log };
        haproxy.eventually("it runs", |log| log.contains("Loading success"));
        haproxy
    }

    /// Whatever comes to a node is lost without a word: the hardest failure to notice.
    pub(crate) fn fall_silent(&self, name: &str) {
        self.firewall(name, "drop");
    }

    /// A node resets every connection.
    pub(crate) fn refuse(&self, name: &str) {
        self.firewall(name, "meta l4proto tcp reject with tcp reset");
    }

    fn firewall(&self, name: &str, rule: &str) {
        let node = self.nodes.iter().find(|node| node.name == name).unwrap();
        // Before anything of portolan's.
        let chain = "{ type filter hook prerouting priority -400; }";
        let nft = |args: &[&str]| node.namespace.run("nft", args);
        nft(&["add", "table", "inet", "failure"]);
        nft(&["add", "chain", "inet", "failure", "incoming", chain]);
        nft(&[
            &["add", "rule", "inet", "failure", "incoming"],
            &rule.split(' ').collect::<Vec<_>>()[..],
        ]
        .concat());
    }

    /// A node's cable is pulled.
    pub(crate) fn fail(&self, name: &str) {
        self.balancer
            .namespace
            .ip(&[format!("link set {name} down")]);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for agent in &mut self.agents {
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }
}

/// A running HAProxy. It ends with the test.
pub(crate) struct Haproxy {
    child: Child,
    log: PathBuf,
}

impl Haproxy {
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn eventually(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        wait(what, || self.log(), is_so);
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        // The master ends its workers only if it may.
        let pid = nix::unistd::Pid::from_raw(self.child.id().try_into().unwrap());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

fn wait(what: &str, log: impl Fn() -> String, is_so: impl Fn(&str) -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so(&log()) {
        assert!(Instant::now() < end, "no end of waiting: {what}\n{}", log());
        thread::sleep(Duration::from_millis(20));
    }
}

fn add_node(balancer: &Host, name: &str, host: u8) -> Host {
    let node = Host::new(
        name,
        &format!("192.168.10.{host}"),
        &format!("fd00:192:168:10::{host}"),
    );
    balancer.namespace.ip(&[
        format!(
            "link add {name} type veth peer name eth0 netns {}",
            node.namespace.path().display()
        ),
        format!("link set {name} master br0 up"),
    ]);
    let mut lines = vec![
        "link set lo up".to_owned(),
        format!("address add 192.168.10.{host}/24 dev eth0"),
        "link set eth0 up".to_owned(),
        "route add default via 192.168.10.1".to_owned(),
    ];
    for (other, other_host, pods) in NODES.iter().filter(|(other, _, _)| *other != name) {
        let _ = other;
        let routes = pods.iter();
        lines.extend(
            routes.map(|pod| format!("route add 10.233.65.{pod} via 192.168.10.{other_host}")),
        );
    }
    node.namespace.ip(&lines);
    node
}

fn add_pod(node: &Host, node_name: &str, number: u8) -> Host {
    let mut pod = Host::new(
        &format!("pod-{number}"),
        &format!("10.233.65.{number}"),
        &format!("fd00:10:244:65::{number}"),
    );
    node_name.clone_into(&mut pod.node);
    let link = format!("pod{number}");
    node.namespace.ip(&[
        format!(
            "link add {link} type veth peer name eth0 netns {}",
            pod.namespace.path().display()
        ),
        format!("link set {link} up"),
        format!("address add 169.254.1.1/32 dev {link}"),
        format!("route add 10.233.65.{number} dev {link}"),
    ]);
    pod.namespace.ip(&[
        "link set lo up".to_owned(),
        format!("address add 10.233.65.{number}/32 dev eth0"),
        "link set eth0 up".to_owned(),
        "route add default via 169.254.1.1 dev eth0 onlink".to_owned(),
    ]);
    pod
}

/// The Service of the course, `examples/loadbalancer.yml`, with nodes and endpoints.
fn manifests(policy: Policy) -> String {
    let mut objects: Vec<Value> = NODES
        .iter()
        .map(|(name, host, _)| {
            json!({
                "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
                "status": {"addresses": [
                    {"type": "InternalIP", "address": format!("192.168.10.{host}")},
                ]},
            })
        })
        .collect();
    let mut service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": "default", "name": "myloadbalance"},
        "spec": {
            "type": "LoadBalancer", "clusterIP": "10.233.10.100",
            "ports": [{"protocol": "TCP", "port": 80, "targetPort": 8080, "nodePort": 32000}],
        },
    });
    if policy == Policy::Local {
        service["spec"]["externalTrafficPolicy"] = json!("Local");
        service["spec"]["healthCheckNodePort"] = json!(32100);
    }
    objects.push(service);
    let endpoints: Vec<Value> = NODES
        .iter()
        .flat_map(|(name, _, pods)| {
            pods.iter().map(move |pod| {
                json!({
                    "addresses": [format!("10.233.65.{pod}")],
                    "nodeName": name, "conditions": {"ready": true},
                })
            })
        })
        .collect();
    objects.push(json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "namespace": "default", "name": "myloadbalance-1",
            "labels": {"kubernetes.io/service-name": "myloadbalance"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
        "endpoints": endpoints,
    }));
    objects
        .iter()
        .map(|object| format!("---\n{object:#}\n"))
        .collect()
}

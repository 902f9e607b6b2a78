//! Three nodes, a client and a pod on one switch.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::api_server::{ApiServer, Wire};
use crate::client::{Seen, connect, connect_until};
use crate::frames::Frames;
use crate::objects::documents;
use crate::support::netns::Namespace;
use crate::support::program::PROGRAM;

/// The pool has one address of each family.
pub(crate) const VIPS: [&str; 2] = ["192.168.10.240", "fd00:10::240"];
/// The node that the endpoint is said to be on.
pub(crate) const ENDPOINT_NODE: usize = 1;
pub(crate) const NODES: usize = 3;
const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) struct Bed {
    _switch: Namespace,
    nodes: Vec<Namespace>,
    client: Namespace,
    _pod: Namespace,
    directory: TempDir,
    agents: Vec<Option<Child>>,
    /// Where Services come from; manifests if there is none.
    pub(crate) server: Option<ApiServer>,
    /// `--lb-pool`
    pub(crate) pool: String,
    /// `--announce-lease-duration`
    pub(crate) lease: &'static str,
    /// The wire of each node to the server.
    wires: Vec<usize>,
}

/// Plugs a namespace into the switch.
fn plug(switch: &Namespace, name: &str, number: u8) -> Namespace {
    let namespace = Namespace::new();
    switch.ip(&[
        format!(
            "link add {name} type veth peer name eth0 netns {}",
            namespace.path().display()
        ),
        format!("link set {name} master br0 up"),
    ]);
    namespace.ip(&[
        "link set lo up".to_owned(),
        "link set eth0 up".to_owned(),
        format!("address add 192.168.10.{number}/24 dev eth0"),
        format!("address add fd00:10::{number}/64 dev eth0 nodad"),
    ]);
    namespace
}

impl Bed {
    pub(crate) fn new(policy: &str, ready: bool) -> Self {
        Self::with(None, policy, ready)
    }

    /// The same in a cluster, where somebody has given the Service its addresses.
    pub(crate) fn in_cluster(policy: &str, ready: bool) -> Self {
        Self::with(Some(ApiServer::start()), policy, ready)
    }

    fn with(server: Option<ApiServer>, policy: &str, ready: bool) -> Self {
        let switch = Namespace::new();
        switch.ip(&[
            "link add br0 type bridge mcast_snooping 0".to_owned(),
            "link set br0 up".to_owned(),
        ]);
        let nodes = (0..3).map(|n| plug(&switch, &format!("n{n}"), 101 + n));
        let nodes = nodes.collect();
        let client = plug(&switch, "client", 50);
        let pod = plug(&switch, "pod", 21);
        for address in ["0.0.0.0:8080", "[::]:8080"] {
            let listener = pod.enter(|| {
                let address: SocketAddr = address.parse().unwrap();
                let domain = socket2::Domain::for_address(address);
                let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).unwrap();
                if address.is_ipv6() {
                    socket.set_only_v6(true).unwrap();
                }
                socket.bind(&address.into()).unwrap();
                socket.listen(128).unwrap();
                TcpListener::from(socket)
            });
            // Accepts, and closes: that is the answer. Ends with the test process.
            std::thread::spawn(move || listener.incoming().for_each(drop));
        }
        let mut server = server;
        let wires = server.iter_mut();
        let wires = wires.flat_map(|server| (0..NODES).map(|_| server.another_wire()));
        let wires = wires.collect();
        let bed = Self {
            wires,
            lease: "3s",
            _switch: switch,
            nodes,
            client,
            _pod: pod,
            directory: tempfile::tempdir().unwrap(),
            agents: (0..NODES).map(|_| None).collect(),
            server,
            pool: VIPS.join(","),
        };
        fs::create_dir(bed.directory.path().join("manifests")).unwrap();
        bed.write(policy, ready, None);
        bed
    }

    /// The cluster: a Service with one endpoint, and three nodes, one of them perhaps cordoned.
    pub(crate) fn write(&self, policy: &str, ready: bool, cordoned: Option<usize>) {
        let documents = documents(self.server.is_some(), policy, ready, cordoned);
        if let Some(server) = &self.server {
            let objects = documents
                .iter()
                .map(|text| serde_yaml::from_str(text).unwrap());
            let objects: Vec<serde_json::Value> = objects.collect();
            server.put_all(&objects);
            return;
        }
        let new = self.directory.path().join("new");
        fs::write(&new, documents.join("\n---\n")).unwrap();
        fs::rename(&new, self.directory.path().join("manifests/a.yaml")).unwrap();
    }

    pub(crate) fn start_all(&mut self) {
        for node in 0..NODES {
            self.start(node);
        }
        let start = Instant::now();
        let sign = match self.server {
            Some(_) => " runs ",
            None => "nodes=\"n0 n1 n2\"",
        };
        while self.log().matches(sign).count() < NODES {
            self.check();
            assert!(start.elapsed() < PATIENCE, "{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn start(&mut self, node: usize) {
        let path = |name: &str| self.directory.path().join(name);
        let mut command = Command::new(PROGRAM);
        command
            .args(["run", "--announce-lb", "--lb-pool", &self.pool])
            .args(["--cluster-cidr", "10.233.64.0/18,fd00:10:244::/56"])
            .args(["--node-name", &format!("n{node}")])
            .stdout(Stdio::null())
            .stderr(fs::File::create(path(&format!("log{node}"))).unwrap());
        let child = if let Some(server) = &self.server {
            command
                .args(["--master", &server.url_of(self.wires[node])])
                .args(["--announce-lease-duration", self.lease, "--netns"])
                .arg(self.nodes[node].path());
            command.spawn()
        } else {
            command
                .args(["--service-cidr", "10.233.0.0/18,fd00:10:233::/112"])
                .arg("-f")
                .arg(path("manifests"))
                .arg("--state-dir")
                .arg(path(&format!("state{node}")));
            self.nodes[node].enter(|| command.spawn())
        };
        self.agents[node] = Some(child.unwrap());
    }

    /// Ends an agent by a signal, and waits until it has.
    pub(crate) fn stop(&mut self, node: usize, signal: Signal) {
        let mut child = self.agents[node].take().unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        kill(pid, signal).unwrap();
        child.wait().unwrap();
    }

    /// As if its power was cut.
    pub(crate) fn fail(&mut self, node: usize) {
        self.nodes[node].ip(&["link set eth0 down".to_owned()]);
        self.stop(node, Signal::SIGKILL);
    }

    pub(crate) fn heal(&mut self, node: usize) {
        self.nodes[node].ip(&[
            "link set eth0 up".to_owned(),
            // It went with the link.
            format!("address add fd00:10::{}/64 dev eth0 nodad", 101 + node),
        ]);
        self.start(node);
    }

    /// What happens between one node and the API server; others are not concerned.
    pub(crate) fn wire(&self, node: usize, wire: Wire) {
        let server = self.server.as_ref().unwrap();
        server.wire_of(self.wires[node], wire);
    }

    /// The process of an agent.
    pub(crate) fn pid(&self, node: usize) -> u32 {
        self.agents[node].as_ref().unwrap().id()
    }

    /// Hears what is said of the addresses on the client's link from now on, and keeps asking.
    pub(crate) fn listen(&self) -> Frames {
        let macs = (0..NODES).map(|node| self.mac(node)).collect();
        Frames::listen(&self.client.path(), macs)
    }

    /// No agent has ended by itself.
    pub(crate) fn check(&mut self) {
        for node in 0..NODES {
            if let Some(agent) = &mut self.agents[node] {
                let ended = agent.try_wait().unwrap();
                assert!(ended.is_none(), "{}", self.log());
            }
        }
    }

    pub(crate) fn log(&self) -> String {
        let text = |node| {
            let path = self.directory.path().join(format!("log{node}"));
            let log = fs::read_to_string(path).unwrap_or_default();
            format!("--- n{node}\n{log}")
        };
        (0..NODES).map(text).collect()
    }

    /// The node whose Ethernet address the client's kernel is given for an address; `None` if
    /// nobody answers.
    pub(crate) fn owner_now(&self, vip: &str) -> Option<usize> {
        self.client
            .output("ip", &["neigh", "del", vip, "dev", "eth0"]);
        let address: IpAddr = vip.parse().unwrap();
        self.client.enter(|| {
            let any = if address.is_ipv4() {
                "0.0.0.0:0"
            } else {
                "[::]:0"
            };
            UdpSocket::bind(any)
                .unwrap()
                .send_to(b"?", SocketAddr::new(address, 9))
                .ok()
        });
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(1) {
            let text = self.client.run("ip", &["neigh", "show", vip]);
            if let Some(mac) = text.split("lladdr ").nth(1) {
                let mac = mac.split_whitespace().next().unwrap();
                let owner = (0..NODES).find(|node| self.mac(*node) == mac);
                return Some(owner.expect("an address of a node"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    fn mac(&self, node: usize) -> String {
        let text = self.nodes[node].run("ip", &["link", "show", "eth0"]);
        let mac = text.split("link/ether ").nth(1).unwrap();
        mac.split_whitespace().next().unwrap().to_owned()
    }

    /// The node that answers for both addresses, once one does.
    pub(crate) fn owner_of_all(&mut self) -> usize {
        let start = Instant::now();
        loop {
            self.check();
            if let [Some(v4), Some(v6)] = VIPS.map(|vip| self.owner_now(vip))
                && v4 == v6
            {
                return v4;
            }
            assert!(start.elapsed() < PATIENCE, "nobody\n{}", self.log());
        }
    }

    fn connect(&self, vip: &str) -> Result<(), String> {
        self.client.enter(|| connect(vip))
    }

    /// A client reaches the pod at both addresses.
    #[track_caller]
    pub(crate) fn reaches(&self) {
        for vip in VIPS {
            let start = Instant::now();
            while let Err(error) = self.connect(vip) {
                assert!(start.elapsed() < PATIENCE, "{vip}: {error}\n{}", self.log());
            }
        }
    }

    pub(crate) fn until_connected(&self) {
        self.reaches();
    }

    /// Connects all the time, to both addresses in turn, while something happens and for some time
    /// after it.
    pub(crate) fn while_connecting(
        &mut self,
        after: Duration,
        happens: impl FnOnce(&mut Self),
    ) -> Seen {
        let stop = AtomicBool::new(false);
        let client = self.client.path();
        std::thread::scope(|scope| {
            let connecting = scope.spawn(|| {
                let file = fs::File::open(client).unwrap();
                nix::sched::setns(file, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
                connect_until(&stop)
            });
            std::thread::sleep(Duration::from_millis(500));
            happens(self);
            std::thread::sleep(after);
            stop.store(true, Ordering::Relaxed);
            connecting.join().unwrap()
        })
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        for agent in self.agents.iter_mut().flatten() {
            let _ = agent.kill();
            let _ = agent.wait();
        }
        if std::thread::panicking() {
            println!("{}", self.log());
        }
    }
}

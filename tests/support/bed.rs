//! The network: a node with pods, another node with pods, and an outside client between them.
//!
//! ```text
//!  pod-1 … pod-N                                  far-1 … far-M
//!  10.233.65.1 …                                  10.233.66.1 …
//!       │ veth                                         │
//!    [cbr0] 10.233.65.254                           [cbr0] 10.233.66.254
//!    node n0                                        node n1
//!     eth0 192.168.10.100                            eth0 192.168.10.150
//!       └───────────────── [br0] 192.168.10.1 ──────────┘
//!                     outside (also 192.168.10.2)
//!                           │ 192.168.10.254
//!                        uplink
//! ```
//!
//! IPv6 beside it: `fd00:10:244:65::1`, `fd00:192:168:10::100`, and so on.
//!
//! The uplink is the rest of the world: it answers at port 80 of every address. A connection that
//! no rule cares for ends there, which tells it from one that a rule drops.

use std::sync::Mutex;

use tempfile::TempDir;

use super::dial::Protocol;
use super::follower::Follower;
use super::host::Host;
use super::netns::Namespace;
use super::server::Server;

/// The port that every pod serves on, in every protocol.
pub(crate) const POD_PORT: u16 = 8080;

/// What the outside client reaches through n0: external and load balancer addresses, and some of
/// the cluster IPs, as in networks that route them.
const ROUTED_TO_NODE: [(&str, &str); 4] = [
    ("203.0.113.0/24", "192.168.10.100"),
    ("10.233.10.0/24", "192.168.10.100"),
    ("fd00:203:0:113::/64", "fd00:192:168:10::100"),
    ("fd00:10:233::/112", "fd00:192:168:10::100"),
];

/// The running network. Dropping it removes everything.
#[derive(Debug)]
pub(crate) struct Testbed {
    /// n0, where portolan works.
    pub(crate) node: Host,
    /// n1, which has no rules of its own.
    pub(crate) other_node: Host,
    /// The rest of the world.
    pub(crate) uplink: Host,
    /// The client at 192.168.10.1, which has 192.168.10.2 as well.
    pub(crate) outside: Host,
    pub(crate) pods: Vec<Host>,
    pub(crate) far_pods: Vec<Host>,
    pub(crate) servers: Vec<Server>,
    /// The agent that follows the manifests, in tests that have one.
    pub(crate) follower: Mutex<Option<Follower>>,
    /// Manifests and allocations of this test.
    pub(crate) directory: TempDir,
}

impl Testbed {
    /// With this many pods on n0.
    pub(crate) fn with_pods(pods: u8) -> Self {
        Self::with_pods_and_far_pods(pods, 0)
    }

    /// With pods on n0 and pods on n1.
    pub(crate) fn with_pods_and_far_pods(pods: u8, far_pods: u8) -> Self {
        let outside = Host::new("outside", "192.168.10.1", "fd00:192:168:10::1");
        // A client, no router: what a node has no use for ends here in silence.
        outside.namespace.set_sysctl("ipv4/ip_forward", "0");
        outside
            .namespace
            .set_sysctl("ipv6/conf/all/forwarding", "0");
        outside.namespace.ip(&switch());
        let uplink = add_uplink(&outside.namespace);
        let (node, pods) = add_node(&outside.namespace, &N0, pods);
        let (other_node, far_pods) = add_node(&outside.namespace, &N1, far_pods);
        let mut bed = Self {
            node,
            other_node,
            uplink,
            outside,
            pods,
            far_pods,
            servers: Vec::new(),
            follower: Mutex::default(),
            directory: tempfile::tempdir().expect("a temporary directory"),
        };
        bed.serve();
        bed.wait_until_reachable();
        bed
    }

    /// The pod `pod-NUMBER`, from 1.
    pub(crate) fn pod(&self, number: usize) -> &Host {
        &self.pods[number - 1]
    }

    /// The pod `far-NUMBER`, from 1.
    pub(crate) fn far_pod(&self, number: usize) -> &Host {
        &self.far_pods[number - 1]
    }

    /// All pods, those of n0 first.
    pub(crate) fn all_pods(&self) -> impl Iterator<Item = &Host> {
        self.pods.iter().chain(&self.far_pods)
    }

    fn serve(&mut self) {
        let protocols = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
        let supported = protocols.into_iter().filter(|p| p.is_supported());
        let servers: Vec<_> = supported
            .flat_map(|protocol| self.all_pods().map(move |pod| (pod, protocol)))
            .map(|(pod, protocol)| Server::start(&pod.namespace, &pod.name, protocol, POD_PORT))
            .collect();
        self.servers.extend(servers);
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let namespace = &self.uplink.namespace;
            self.servers
                .push(Server::start(namespace, "uplink", protocol, 80));
        }
    }

    /// Links report their carrier a moment after they are made. A connection that is answered is
    /// the proof of readiness, and waiting for it is what TCP does anyway.
    fn wait_until_reachable(&self) {
        for pod in self.all_pods() {
            for address in [
                format!("{}:{POD_PORT}", pod.v4),
                format!("[{}]:{POD_PORT}", pod.v6),
            ] {
                let answer = self.node.dial(&address).answer();
                assert_eq!(answer.server, pod.name);
            }
        }
    }
}

/// One node's place in the address plan.
struct Plan {
    name: &'static str,
    pod_prefix: &'static str,
    host: u8,
    subnet: u8,
    /// The other node's.
    other_host: u8,
    other_subnet: u8,
}

const N0: Plan = Plan {
    name: "n0",
    pod_prefix: "pod",
    host: 100,
    subnet: 65,
    other_host: 150,
    other_subnet: 66,
};
const N1: Plan = Plan {
    name: "n1",
    pod_prefix: "far",
    host: 150,
    subnet: 66,
    other_host: 100,
    other_subnet: 65,
};

/// The outside client is also the switch between the nodes.
fn switch() -> Vec<String> {
    let mut lines = vec![
        "link set lo up".to_owned(),
        "link add br0 type bridge mcast_snooping 0".to_owned(),
        "address add 192.168.10.1/24 dev br0".to_owned(),
        "address add 192.168.10.2/24 dev br0".to_owned(),
        "address add fd00:192:168:10::2/64 dev br0 nodad".to_owned(),
        // Added last: the kernel prefers the newest of equal IPv6 addresses.
        "address add fd00:192:168:10::1/64 dev br0 nodad".to_owned(),
        "link set br0 up".to_owned(),
    ];
    let routes = ROUTED_TO_NODE.iter();
    lines.extend(routes.map(|(net, via)| format!("route add {net} via {via}")));
    lines
}

/// Makes the uplink: every address is its own, but for those that the nodes have.
fn add_uplink(switch: &Namespace) -> Host {
    let uplink = Host::new("uplink", "192.168.10.254", "fd00:192:168:10::fe");
    let path = uplink.namespace.path();
    switch.ip(&[
        format!(
            "link add uplink type veth peer name eth0 netns {}",
            path.display()
        ),
        "link set uplink master br0 up".to_owned(),
    ]);
    let mut lines = vec![
        "link set lo up".to_owned(),
        "address add 192.168.10.254/24 dev eth0".to_owned(),
        "address add fd00:192:168:10::fe/64 dev eth0 nodad".to_owned(),
        "link set eth0 up".to_owned(),
        "route add local 0.0.0.0/0 dev lo table main".to_owned(),
        "route add local ::/0 dev lo table main".to_owned(),
    ];
    // Replies go back through n0, the way that the packets came.
    for net in ["10.233.65.0/24", "192.168.10.1", "192.168.10.2"] {
        lines.push(format!("route add {net} via 192.168.10.100"));
    }
    for net in [
        "fd00:10:244:65::/64",
        "fd00:192:168:10::1",
        "fd00:192:168:10::2",
    ] {
        lines.push(format!("route add {net} via fd00:192:168:10::100"));
    }
    uplink.namespace.ip(&lines);
    uplink
}

/// Makes a node on the switch, and its pods.
fn add_node(switch: &Namespace, plan: &Plan, pods: u8) -> (Host, Vec<Host>) {
    let Plan { name, host, .. } = plan;
    let node = Host::new(
        name,
        &format!("192.168.10.{host}"),
        &format!("fd00:192:168:10::{host}"),
    );
    switch.ip(&[
        format!(
            "link add {name} type veth peer name eth0 netns {}",
            node.namespace.path().display()
        ),
        format!("link set {name} master br0 up"),
    ]);
    let pods: Vec<_> = (1..=pods).map(|number| new_pod(plan, number)).collect();
    node.namespace.ip(&node_lines(plan, &node, &pods));
    std::thread::scope(|scope| {
        for pod in &pods {
            scope.spawn(|| pod.namespace.ip(&pod_lines(plan, pod)));
        }
    });
    (node, pods)
}

fn new_pod(plan: &Plan, number: u8) -> Host {
    let Plan {
        pod_prefix, subnet, ..
    } = plan;
    let mut pod = Host::new(
        &format!("{pod_prefix}-{number}"),
        &format!("10.233.{subnet}.{number}"),
        &format!("fd00:10:244:{subnet}::{number}"),
    );
    plan.name.clone_into(&mut pod.node);
    pod
}

fn node_lines(plan: &Plan, node: &Host, pods: &[Host]) -> Vec<String> {
    let Plan {
        subnet,
        other_host,
        other_subnet,
        ..
    } = plan;
    let mut lines = vec![
        "link set lo up".to_owned(),
        format!("address add {}/24 dev eth0", node.v4),
        format!("address add {}/64 dev eth0 nodad", node.v6),
        "link set eth0 up".to_owned(),
        "route add default via 192.168.10.254".to_owned(),
        "route add default via fd00:192:168:10::fe".to_owned(),
        format!("route add 10.233.{other_subnet}.0/24 via 192.168.10.{other_host}"),
        format!("route add fd00:10:244:{other_subnet}::/64 via fd00:192:168:10::{other_host}"),
        "link add cbr0 type bridge mcast_snooping 0".to_owned(),
        format!("address add 10.233.{subnet}.254/24 dev cbr0"),
        format!("address add fd00:10:244:{subnet}::fffe/64 dev cbr0 nodad"),
        "link set cbr0 up".to_owned(),
    ];
    for pod in pods {
        let Host {
            name, namespace, ..
        } = pod;
        let path = namespace.path();
        lines.push(format!(
            "link add {name} type veth peer name eth0 netns {}",
            path.display()
        ));
        lines.push(format!("link set {name} master cbr0 up"));
        lines.push(format!("link set {name} type bridge_slave hairpin on"));
    }
    lines
}

/// A pod has a host route to its node and nothing else on the link: a reply to another pod passes
/// the node's routing, where address translation is undone. With a subnet on the link it would go
/// past it, unless the bridge calls iptables (`br_netfilter`), which not every kernel can.
fn pod_lines(plan: &Plan, pod: &Host) -> Vec<String> {
    let gateway = format!("10.233.{}.254", plan.subnet);
    let gateway6 = format!("fd00:10:244:{}::fffe", plan.subnet);
    vec![
        "link set lo up".to_owned(),
        format!("address add {}/32 dev eth0", pod.v4),
        format!("address add {}/128 dev eth0 nodad", pod.v6),
        "link set eth0 up".to_owned(),
        format!("route add default via {gateway} dev eth0 onlink"),
        format!("route add default via {gateway6} dev eth0 onlink"),
    ]
}

//! `portolan lab status`: what a lab is made of, as values, as a table, as a picture.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::Ipv4Addr;

use serde::Serialize;

use super::{Lab, plan, revision};
use crate::kernel::process::Process;
use crate::model::{Service, ServiceType};

/// Columns that the picture may take.
const WIDTH: usize = 96;
/// Columns of a node with little to show.
const NARROW: usize = 22;

/// A lab.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Its name.
    pub name: String,
    /// The agents' mode.
    pub mode: String,
    /// The outside client's address.
    pub client: Ipv4Addr,
    /// The outside balancer's address.
    pub balancer: Ipv4Addr,
    /// Whether HAProxy runs on it.
    pub haproxy_runs: bool,
    /// The address of DNS.
    pub dns: Ipv4Addr,
    /// Nodes.
    pub nodes: Vec<NodeStatus>,
    /// Pods, by node.
    pub pods: Vec<PodStatus>,
    /// Services.
    pub services: Vec<ServiceStatus>,
    /// External names and the addresses that stand for them.
    pub outside: BTreeMap<String, Ipv4Addr>,
    /// How its network namespaces are named: this, and `NODE`, `client` or `pod.NAMESPACE.POD`.
    pub netns_prefix: String,
    /// The directory with manifests and logs.
    pub directory: String,
}

/// A node.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// The network of its pods.
    pub pod_network: String,
    /// Whether `lab fail` has taken it away.
    pub failed: bool,
    /// Whether its agent runs.
    pub agent_runs: bool,
    /// Process number of the agent.
    pub agent_pid: Option<i32>,
}

/// A pod.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What made it.
    pub owner: String,
    /// The node it runs on.
    pub node: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether it is terminating.
    pub terminating: bool,
    /// Whether its server runs.
    pub runs: bool,
    /// TCP ports.
    pub tcp: Vec<u16>,
    /// UDP ports.
    pub udp: Vec<u16>,
}

impl PodStatus {
    /// kubectl's word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match (self.runs, self.terminating, self.ready) {
            (false, ..) => "Dead",
            (_, true, _) => "Terminating",
            (_, _, false) => "NotReady",
            _ => "Ready",
        }
    }
}

/// A Service.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceStatus {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub service_type: String,
    /// Cluster IP, `None` if headless, the external name.
    pub address: String,
    /// Ports as kubectl lists them.
    pub ports: String,
    /// How many endpoints are ready.
    pub ready_endpoints: usize,
}

impl Lab {
    /// What it is made of now.
    #[must_use]
    pub fn status(&self) -> Status {
        let slices = super::cluster::slices(&self.state, &self.snapshot);
        let ready = |service: &Service| {
            let written = self.snapshot.slices_of(&service.name).iter();
            let own = slices.iter().filter(|slice| slice.service == service.name);
            let endpoints = written.chain(own).flat_map(|slice| &slice.endpoints);
            endpoints.filter(|endpoint| endpoint.ready).count()
        };
        let mut pods: Vec<PodStatus> = self.state.pods.iter().map(pod).collect();
        pods.sort_by(|a, b| (&a.node, a.address).cmp(&(&b.node, b.address)));
        let all = self.services().values();
        let services = all.filter(|service| !revision::is_of_lab(&service.name));
        Status {
            name: self.place.name().to_owned(),
            mode: self.state.mode.clone(),
            client: plan::CLIENT,
            balancer: plan::BALANCER,
            haproxy_runs: self.state.haproxy.is_some_and(Process::is_alive),
            dns: plan::DNS,
            nodes: self.state.nodes.iter().map(node).collect(),
            pods,
            services: services.map(|s| service(s, ready(s))).collect(),
            outside: self.state.outside.clone(),
            netns_prefix: self.place.prefix(),
            directory: self.place.directory().display().to_string(),
        }
    }
}

fn node(node: &super::NodeState) -> NodeStatus {
    NodeStatus {
        name: node.name.clone(),
        address: node.address,
        pod_network: plan::pod_network(node.number).to_string(),
        failed: node.failed,
        agent_runs: node.agent.is_some_and(Process::is_alive),
        agent_pid: node.agent.map(|agent| agent.pid),
    }
}

fn pod(pod: &super::PodState) -> PodStatus {
    PodStatus {
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        owner: pod.owner.clone(),
        node: pod.node.clone(),
        address: pod.address,
        ready: pod.ready,
        terminating: pod.terminating,
        runs: pod.process.is_some_and(Process::is_alive),
        tcp: pod.tcp.clone(),
        udp: pod.udp.clone(),
    }
}

fn service(service: &Service, ready_endpoints: usize) -> ServiceStatus {
    let address = match (&service.external_name, service.headless) {
        (Some(name), _) => name.to_string(),
        (None, true) => "None".to_owned(),
        (None, false) => {
            let given = service.ingress.iter().filter_map(|entry| entry.ip.as_ref());
            joined(service.cluster_ips.iter().chain(given), ",")
        }
    };
    let port = |port: &crate::model::ServicePort| match port.node_port {
        Some(node_port) => format!("{}:{node_port}/{}", port.port, port.protocol),
        None => format!("{}/{}", port.port, port.protocol),
    };
    let has_ports = service.service_type != ServiceType::ExternalName;
    let ports = service.ports.iter().filter(|_| has_ports).map(port);
    ServiceStatus {
        namespace: service.name.namespace.to_string(),
        name: service.name.name.to_string(),
        service_type: service.service_type.as_str().to_owned(),
        address,
        ports: joined(ports, ","),
        ready_endpoints,
    }
}

fn joined<T: ToString>(items: impl Iterator<Item = T>, between: &str) -> String {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    items.join(between)
}

impl Status {
    /// The lab drawn with letters: outside above, nodes with their pods below.
    #[must_use]
    pub fn picture(&self) -> String {
        let columns: Vec<Vec<String>> = self.nodes.iter().map(|node| self.column(node)).collect();
        let longest = columns
            .iter()
            .flatten()
            .map(|line| line.chars().count())
            .max();
        let width = longest.unwrap_or_default().max(NARROW) + 2;
        let per_row = (WIDTH / width).max(1);
        let used = width * per_row.min(columns.len());
        let mut out = String::new();
        let balances = if self.haproxy_runs { " (haproxy)" } else { "" };
        let outside = format!(
            "   client {}      balancer {}{balances}",
            self.client, self.balancer
        );
        // Writing into a string does not fail.
        let _ = writeln!(out, "{outside}");
        let _ = writeln!(out, "      │{:25}│", "");
        let lan = format!("──────┴{}┴─ {} ", "─".repeat(25), plan::LAN);
        let rest = used.saturating_sub(lan.chars().count());
        let _ = writeln!(out, "{lan}{}", "─".repeat(rest));
        for row in columns.chunks(per_row) {
            let tallest = row.iter().map(Vec::len).max().unwrap_or_default();
            for line in 0..tallest {
                let cells = row.iter().map(|column| {
                    let cell = column.get(line).map_or("", String::as_str);
                    format!("{cell:width$}")
                });
                let text: String = cells.collect();
                let _ = writeln!(out, "{}", text.trim_end());
            }
        }
        out
    }

    fn column(&self, node: &NodeStatus) -> Vec<String> {
        let state = match (node.failed, node.agent_runs) {
            (true, _) => " FAILED",
            (_, false) => " (no agent)",
            _ => "",
        };
        let mut lines = vec![
            if node.failed { "   ✕" } else { "   │" }.to_owned(),
            format!(" {} {}{state}", node.name, node.address),
        ];
        let pods: Vec<&PodStatus> = self
            .pods
            .iter()
            .filter(|pod| pod.node == node.name)
            .collect();
        if !node.failed {
            lines.push(format!("  │ pods {}", node.pod_network));
        }
        for (at, pod) in pods.iter().enumerate() {
            let branch = if at + 1 == pods.len() { '└' } else { '├' };
            let host = pod.address.octets()[3];
            let word = match pod.word() {
                "Ready" => String::new(),
                word => format!(" {word}"),
            };
            lines.push(format!("  {branch} .{host} {}{word}", pod.name));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_shows_nodes_side_by_side_with_their_pods() {
        let node = |number: u8, failed| NodeStatus {
            name: plan::node_name(number),
            address: plan::node_address(number),
            pod_network: plan::pod_network(number).to_string(),
            failed,
            agent_runs: !failed,
            agent_pid: None,
        };
        let status = Status {
            name: "lab".to_owned(),
            mode: "nftables".to_owned(),
            client: plan::CLIENT,
            balancer: plan::BALANCER,
            haproxy_runs: true,
            dns: plan::DNS,
            nodes: vec![node(1, false), node(2, true)],
            pods: vec![PodStatus {
                namespace: "default".to_owned(),
                name: "mydp-k4w2z".to_owned(),
                owner: String::new(),
                node: "n1".to_owned(),
                address: Ipv4Addr::new(10, 233, 64, 2),
                ready: false,
                terminating: false,
                runs: true,
                tcp: Vec::new(),
                udp: Vec::new(),
            }],
            services: Vec::new(),
            outside: BTreeMap::new(),
            netns_prefix: String::new(),
            directory: String::new(),
        };
        let picture = status.picture();
        assert_eq!(
            picture.lines().collect::<Vec<_>>(),
            [
                "   client 192.168.10.10      balancer 192.168.10.20 (haproxy)",
                "      │                         │",
                "──────┴─────────────────────────┴─ 192.168.10.0/24 ─────",
                "   │                           ✕",
                " n1 192.168.10.100           n2 192.168.10.150 FAILED",
                "  │ pods 10.233.64.0/24",
                "  └ .2 mydp-k4w2z NotReady",
            ]
        );
    }
}

//! Agents on nodes, servers in pods, the world outside: programs in their places.

use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use super::cluster;
use super::launch::{Program, Starting};
use super::network;
use super::place::{Place, netns};
use super::plan;
use super::ports;
use super::revision;
use super::schedule::{self, NewPod};
use super::state::{NodeState, PodState, State};
use super::{Lab, LabError};
use crate::kernel::named_netns::{self, NetnsId};
use crate::kernel::netns::run_in;
use crate::kernel::process::{self, Process};

/// How long a pod that is taken away still answers those who were on their way to it when the agents
/// heard of it. On a cluster, `preStop` hooks sleep for this.
const LAST_ANSWERS: Duration = Duration::from_millis(300);

/// How long an agent may take to follow before that is told.
const FOLLOW: Duration = Duration::from_secs(15);

/// The DNS port that agents serve names at.
const DNS_PORT: u16 = 53;

/// Files that a machine has of its own are in this directory, one directory a machine.
pub(super) const OWN_FILES: &str = "etc";

/// What becomes of rules of another mode, or of another proxy, when an agent starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// As `portolan run` does it.
    Kept,
    /// The new rules replace them.
    Replaced,
}

/// Starts the agent of a node.
pub(super) fn start_agent(
    place: &Place,
    node: &NodeState,
    state: &State,
    rules: Before,
) -> Result<Starting, LabError> {
    let state_dir = place.file("agents").join(&node.name);
    fs::create_dir_all(&state_dir)?;
    let mut arguments: Vec<String> = vec![
        "run".to_owned(),
        "--filename".to_owned(),
        cluster::directory(place).to_string_lossy().into_owned(),
    ];
    let mut flag = |name: &str, value: &dyn ToString| {
        arguments.extend([format!("--{name}"), value.to_string()]);
    };
    flag("mode", &state.mode);
    flag("node-name", &node.name);
    flag("cluster-cidr", &plan::PODS);
    flag("service-cidr", &plan::SERVICES);
    flag("state-dir", &state_dir.display());
    flag("min-sync-period", &"0s");
    flag("dns-listen", &format_args!("{}:{DNS_PORT}", node.address));
    flag("upstream", &format_args!("{}:{DNS_PORT}", plan::ROUTER));
    if !state.lb_pool.is_empty() {
        flag("lb-pool", &state.lb_pool.join(","));
        arguments.push("--announce-lb".to_owned());
    }
    if rules == Before::Replaced {
        arguments.push("--take-over".to_owned());
    }
    Program {
        what: node.name.clone(),
        netns: place.machine(&node.name),
        other: None,
        arguments,
        place,
    }
    .start()
}

/// Starts what answers for external names.
pub(super) fn start_outside(place: &Place, state: &State) -> Result<Starting, LabError> {
    let mut arguments = vec!["lab".to_owned(), "serve-outside".to_owned()];
    for (name, address) in &state.outside {
        arguments.extend(["--host".to_owned(), format!("{name}={address}")]);
    }
    Program {
        what: network::ROUTER.to_owned(),
        netns: place.machine(network::ROUTER),
        other: None,
        arguments,
        place,
    }
    .start()
}

fn start_pod(place: &Place, pod: &PodState) -> Result<Starting, LabError> {
    let mut arguments = vec!["lab".to_owned(), "serve-pod".to_owned()];
    let mut flag = |name: &str, value: &dyn ToString| {
        arguments.extend([format!("--{name}"), value.to_string()]);
    };
    flag("pod-name", &pod.name);
    flag("node-name", &pod.node);
    pod.tcp.iter().for_each(|port| flag("tcp", port));
    pod.udp.iter().for_each(|port| flag("udp", port));
    Program {
        what: format!("pod.{}.{}", pod.namespace, pod.name),
        netns: place.pod(&pod.namespace, &pod.name),
        other: None,
        arguments,
        place,
    }
    .start()
}

/// What `lab exec` shows as /etc/resolv.conf, /etc/hosts and /etc/nsswitch.conf. A pod's resolver is
/// set up as kubelets do it.
pub(super) fn write_own_files(
    place: &Place,
    netns: &str,
    host: &str,
    address: std::net::Ipv4Addr,
    pod_namespace: Option<&str>,
) -> Result<(), LabError> {
    let directory = place.file(OWN_FILES).join(netns);
    fs::create_dir_all(&directory)?;
    let resolver = match pod_namespace {
        Some(namespace) => format!(
            "search {namespace}.svc.cluster.local svc.cluster.local cluster.local\nnameserver {}\n\
             options ndots:5\n",
            plan::DNS
        ),
        None => format!("nameserver {}\n", plan::ROUTER),
    };
    fs::write(directory.join("resolv.conf"), resolver)?;
    let hosts = format!("127.0.0.1 localhost\n::1 localhost\n{address} {host}\n");
    fs::write(directory.join("hosts"), hosts)?;
    fs::write(directory.join("nsswitch.conf"), "hosts: files dns\n")?;
    Ok(())
}

/// Ends all processes in namespaces, and removes those.
pub(super) fn remove_namespaces(names: &[String]) -> Result<(), LabError> {
    end_processes(names)?;
    for name in names {
        named_netns::delete(name)?;
    }
    Ok(())
}

/// Ends all processes in namespaces.
pub(super) fn end_processes(names: &[String]) -> Result<(), LabError> {
    let ids = names.iter().filter_map(|name| NetnsId::named(name).ok());
    let left = process::end_all(&ids.collect());
    if left.is_empty() {
        return Ok(());
    }
    let pids: Vec<String> = left.iter().map(|process| process.pid.to_string()).collect();
    Err(anyhow::anyhow!("these processes do not end: {}", pids.join(", ")).into())
}

impl Lab {
    /// Brings pods and endpoints to where they should be, and says what was done.
    ///
    /// # Errors
    /// The machine does not do it. What was made until then is kept and known.
    pub(super) fn converge(&mut self) -> Result<Vec<String>, LabError> {
        let changes = schedule::changes(&self.workloads, &self.state);
        let mut done = changes.pending;
        let mut removed = Vec::new();
        for at in changes.remove.into_iter().rev() {
            removed.push(self.state.pods.remove(at));
        }
        removed.reverse();
        // A name may come back at once, elsewhere: a StatefulSet's does.
        let again = |pod: &PodState| {
            let same = |new: &NewPod| {
                new.name == pod.name && *new.template.name.namespace == *pod.namespace
            };
            changes.add.iter().any(same)
                || self.state.node(&pod.node).is_none_or(|node| node.failed)
        };
        let (at_once, later): (Vec<PodState>, Vec<PodState>) = removed.into_iter().partition(again);
        if !at_once.is_empty() {
            // Nobody is to be sent to them while others are made.
            self.write_endpoints()?;
        }
        self.remove_pods(&at_once, &mut done)?;
        self.add_pods(changes.add, &mut done)?;
        self.write_endpoints()?;
        done.extend(self.wait_for_agents()?);
        if !later.is_empty() {
            thread::sleep(LAST_ANSWERS);
        }
        self.remove_pods(&later, &mut done)?;
        self.save()?;
        Ok(done)
    }

    /// Tells the agents of the endpoints there are now.
    pub(super) fn write_endpoints(&mut self) -> Result<(), LabError> {
        self.state.revision += 1;
        cluster::write_endpoints(&self.place, &self.state, &self.snapshot)?;
        self.save()
    }

    /// Waits until the agents of all nodes have what they were told last in the kernel, and says who
    /// has not.
    pub(super) fn wait_for_agents(&self) -> Result<Vec<String>, LabError> {
        let mut late = Vec::new();
        for node in self.state.working().filter(|node| node.agent.is_some()) {
            let server = SocketAddr::from((node.address, DNS_PORT));
            let revision = self.state.revision;
            let machine = netns(&self.place.machine(&node.name));
            let follows = run_in(&machine, || revision::is_in_force(server, revision, FOLLOW))?;
            if !follows {
                late.push(format!(
                    "the agent of {0} has not followed within {FOLLOW:?}: see portolan lab logs {0}",
                    node.name
                ));
            }
        }
        Ok(late)
    }

    fn remove_pods(&self, pods: &[PodState], done: &mut Vec<String>) -> Result<(), LabError> {
        let name = |pod: &PodState| self.place.pod(&pod.namespace, &pod.name);
        let names: Vec<String> = pods.iter().map(name).collect();
        remove_namespaces(&names)?;
        for (pod, netns) in pods.iter().zip(names) {
            let _ = fs::remove_dir_all(self.place.file(OWN_FILES).join(netns));
            done.push(format!("pod {} is gone from {}", pod.name, pod.node));
        }
        Ok(())
    }

    fn add_pods(&mut self, new: Vec<NewPod>, done: &mut Vec<String>) -> Result<(), LabError> {
        let mut starting = Vec::new();
        for new in new {
            let pod = self.place_pod(new)?;
            let Some(node) = self.state.node(&pod.node) else {
                continue;
            };
            network::build_pod(&self.place, &pod, node)?;
            let netns = self.place.pod(&pod.namespace, &pod.name);
            let host = pod.hostname.as_deref().unwrap_or(&pod.name);
            write_own_files(&self.place, &netns, host, pod.address, Some(&pod.namespace))?;
            starting.push(start_pod(&self.place, &pod)?);
            done.push(format!(
                "pod {} runs on {} at {}",
                pod.name, pod.node, pod.address
            ));
            self.state.pods.push(pod);
            self.save()?;
        }
        let first = self.state.pods.len() - starting.len();
        for (at, starting) in (first..).zip(starting) {
            self.state.pods[at].process = Some(starting.wait()?);
        }
        self.save()
    }

    /// Takes one pod away: endpoints first, so that nobody new comes to it.
    pub(super) fn take_away(&mut self, at: usize) -> Result<Vec<String>, LabError> {
        let pod = self.state.pods.remove(at);
        self.write_endpoints()?;
        let mut done = self.wait_for_agents()?;
        thread::sleep(LAST_ANSWERS);
        self.remove_pods(&[pod], &mut done)?;
        self.save()?;
        Ok(done)
    }

    /// Gives a new pod its address and its ports.
    fn place_pod(&mut self, new: NewPod) -> Result<PodState, LabError> {
        let taken: Vec<_> = self.state.pods.iter().map(|pod| pod.address).collect();
        let node = self
            .state
            .nodes
            .iter_mut()
            .find(|node| node.name == new.node);
        let address = node.and_then(|node| {
            let address = plan::next_pod_address(node.number, node.last_pod, &taken)?;
            node.last_pod = address.octets()[3];
            Some(address)
        });
        let full = || anyhow::anyhow!("node {} has no address left for pod {}", new.node, new.name);
        let address = address.ok_or_else(full)?;
        let template = &new.template;
        let ports = ports::listened(template, &self.snapshot.services);
        self.state.serial = self.state.serial.max(new.serial);
        let labels = template.labels.iter();
        let container_ports = template.ports.iter();
        Ok(PodState {
            namespace: template.name.namespace.to_string(),
            name: new.name,
            owner: new.owner,
            serial: new.serial,
            node: new.node,
            address,
            ready: true,
            terminating: false,
            labels: labels
                .map(|(k, v)| (k.to_string(), v.to_string()))
                .collect(),
            hostname: new.hostname,
            subdomain: new.subdomain,
            ports: container_ports
                .map(|port| {
                    (
                        port.name.to_string(),
                        port.port,
                        port.protocol.upper().to_owned(),
                    )
                })
                .collect(),
            tcp: ports.tcp.into_iter().collect(),
            udp: ports.udp.into_iter().collect(),
            process: None,
        })
    }

    /// Starts the agents of these nodes, all at once, and waits for all.
    pub(super) fn start_agents(&mut self, nodes: &[String], rules: Before) -> Result<(), LabError> {
        let mut starting = Vec::new();
        for node in self.state.nodes.iter().filter(|n| nodes.contains(&n.name)) {
            starting.push((
                node.name.clone(),
                start_agent(&self.place, node, &self.state, rules)?,
            ));
        }
        for (name, starting) in starting {
            let process: Process = starting.wait()?;
            if let Some(node) = self.state.nodes.iter_mut().find(|node| node.name == name) {
                node.agent = Some(process);
            }
        }
        self.save()
    }
}

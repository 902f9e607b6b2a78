//! What people do to a lab that stands: scale, fail and heal nodes, take pods out of service.
//!
//! Each says in lines what was done.

use super::enter::kind_of;
use super::machines::{Before, end_processes};
use super::{Lab, LabError, listed, network, schedule};
use crate::kernel::process::Process;
use crate::model::WorkloadKind;

/// What is done to a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodVerb {
    /// Its readiness probe succeeds again.
    Ready,
    /// Its readiness probe fails: it stays, and gets no new connections.
    Unready,
    /// It is being deleted, and takes as long as you like: it answers still.
    Terminate,
    /// It is gone, and is replaced if something wants it.
    Delete,
}

impl Lab {
    /// Changes how many pods a Deployment, ReplicaSet or StatefulSet has.
    ///
    /// # Errors
    /// There is none of that name, or it has no number.
    pub fn scale(&mut self, target: &str, replicas: u32) -> Result<Vec<String>, LabError> {
        let (word, name) = target.split_once('/').unwrap_or(("deploy", target));
        let scales = |kind: &str| !["DaemonSet", "Pod"].contains(&kind);
        let kind = kind_of(word).filter(|kind| scales(kind)).ok_or_else(|| {
            LabError::Asked(format!(
                "{target}: only Deployments, ReplicaSets and StatefulSets have a number of replicas"
            ))
        })?;
        let owner = match name.contains('/') {
            true => format!("{kind} {name}"),
            false => format!("{kind} default/{name}"),
        };
        if !self.workloads.iter().any(|w| schedule::owner(w) == owner) {
            let known = self
                .workloads
                .iter()
                .filter(|w| !matches!(w.kind, WorkloadKind::DaemonSet | WorkloadKind::Pod));
            let known: Vec<String> = known.map(schedule::owner).collect();
            return Err(LabError::Asked(format!(
                "lab {} has no {owner}: it has {}",
                self.place.name(),
                listed(known.iter().map(String::as_str))
            )));
        }
        self.state.replicas.insert(owner, replicas);
        self.converge()
    }

    /// Takes a node away as if its power failed: its plug is pulled, its agent and its pods are
    /// gone. Its pods come up elsewhere at once, where a cluster would wait for minutes.
    ///
    /// # Errors
    /// There is no such node, or it has failed already.
    pub fn fail(&mut self, name: &str) -> Result<Vec<String>, LabError> {
        let at = self.node_at(name)?;
        if self.state.nodes[at].failed {
            return Err(LabError::Asked(format!("node {name} has failed already")));
        }
        network::set_plugged(&self.place, name, false)?;
        let mut inside = vec![self.place.machine(name)];
        let pods = self.state.pods.iter().filter(|pod| pod.node == name);
        inside.extend(pods.map(|pod| self.place.pod(&pod.namespace, &pod.name)));
        end_processes(&inside)?;
        self.state.nodes[at].failed = true;
        self.state.nodes[at].agent = None;
        self.save()?;
        let mut done = vec![format!("node {name} has failed")];
        done.extend(self.converge()?);
        Ok(done)
    }

    /// Brings a node back, or all: plug, agent, and what a DaemonSet wants there. Agents that have
    /// died are started again, on any node.
    ///
    /// # Errors
    /// There is no such node.
    pub fn heal(&mut self, name: Option<&str>) -> Result<Vec<String>, LabError> {
        let only = name.map(|name| self.node_at(name)).transpose()?;
        let mut done = Vec::new();
        let mut start = Vec::new();
        for (at, node) in self.state.nodes.iter_mut().enumerate() {
            if only.is_some_and(|only| only != at) {
                continue;
            }
            if node.failed {
                network::set_plugged(&self.place, &node.name, true)?;
                node.failed = false;
                done.push(format!("node {} is back", node.name));
            } else if node.agent.is_some_and(Process::is_alive) {
                continue;
            } else {
                done.push(format!("the agent of {} is started again", node.name));
            }
            start.push(node.name.clone());
        }
        self.start_agents(&start, Before::Kept)?;
        if self.revive_haproxy()? {
            done.push("haproxy is started again".to_owned());
        }
        done.extend(self.revive()?);
        done.extend(self.converge()?);
        Ok(done)
    }

    /// Pods whose server has died go, so that others can come.
    fn revive(&mut self) -> Result<Vec<String>, LabError> {
        let dead = |pod: &super::PodState| !pod.process.is_some_and(Process::is_alive);
        let dead: Vec<usize> = (0..self.state.pods.len())
            .filter(|at| dead(&self.state.pods[*at]))
            .collect();
        let mut done = Vec::new();
        for at in dead.into_iter().rev() {
            done.extend(self.take_away(at)?);
        }
        Ok(done)
    }

    /// Does something to a pod.
    ///
    /// # Errors
    /// There is no such pod.
    pub fn pod_verb(&mut self, name: &str, verb: PodVerb) -> Result<Vec<String>, LabError> {
        let at = self.pod(name)?;
        let pod = &mut self.state.pods[at];
        let mut done = Vec::new();
        match verb {
            PodVerb::Ready | PodVerb::Unready => {
                pod.ready = verb == PodVerb::Ready;
                let word = if pod.ready { "ready" } else { "not ready" };
                done.push(format!("pod {} is {word}", pod.name));
            }
            PodVerb::Terminate => {
                pod.terminating = true;
                done.push(format!(
                    "pod {} is terminating until it is deleted",
                    pod.name
                ));
            }
            PodVerb::Delete => done.extend(self.take_away(at)?),
        }
        done.extend(self.converge()?);
        Ok(done)
    }

    /// Starts all agents anew in another mode. Each replaces the rules of the one before in one
    /// transaction; pods and connections stay.
    ///
    /// # Errors
    /// The mode cannot be had on this machine; the mode before is in force again then.
    pub fn set_mode(&mut self, mode: &str) -> Result<Vec<String>, LabError> {
        let before = std::mem::replace(&mut self.state.mode, mode.to_owned());
        let nodes: Vec<String> = self.state.working().map(|n| n.name.clone()).collect();
        if let Err(error) = self.restart_agents(&nodes) {
            // What cannot be had must not cost what there was.
            self.state.mode = before;
            self.restart_agents(&nodes)?;
            return Err(error);
        }
        let nodes = nodes.join(", ");
        Ok(vec![format!("the agents of {nodes} run in {mode} mode")])
    }

    fn restart_agents(&mut self, nodes: &[String]) -> Result<(), LabError> {
        for node in self.state.working() {
            if let Some(agent) = node.agent {
                agent.end();
            }
        }
        self.start_agents(nodes, Before::Replaced)
    }

    /// The position of a node.
    pub(super) fn node_at(&self, name: &str) -> Result<usize, LabError> {
        let nodes = &self.state.nodes;
        let at = nodes.iter().position(|node| node.name == name);
        at.ok_or_else(|| {
            LabError::Asked(format!(
                "lab {} has no node {name}: it has {}",
                self.place.name(),
                listed(nodes.iter().map(|node| node.name.as_str()))
            ))
        })
    }
}

//! Which pods there should be, and where: the part of the Deployment, StatefulSet and DaemonSet
//! controllers and of the scheduler.
//!
//! Pure: state in, changes out.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};

use super::state::{NodeState, PodState, State};
use crate::model::{Pod, Workload, WorkloadKind};

/// What Kubernetes makes the random ends of names of: no vowels, nothing that reads as another.
const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A pod that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NewPod {
    pub(super) owner: String,
    pub(super) name: String,
    pub(super) node: String,
    pub(super) serial: u32,
    pub(super) hostname: Option<String>,
    pub(super) subdomain: Option<String>,
    /// Labels and ports.
    pub(super) template: Pod,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Positions in [`State::pods`], ascending.
    pub(super) remove: Vec<usize>,
    /// In the order they are to be made.
    pub(super) add: Vec<NewPod>,
    /// Pods that cannot be placed, and why.
    pub(super) pending: Vec<String>,
}

/// `Deployment default/mydp`.
pub(super) fn owner(workload: &Workload) -> String {
    format!("{} {}", workload.kind.as_str(), workload.name)
}

/// The way from the pods there are to those there should be.
///
/// Pods of a failed node are gone at once (a cluster waits for five minutes first). Deployments and
/// StatefulSets get others elsewhere, DaemonSets do not, and a bare Pod waits for its node.
pub(super) fn changes(workloads: &[Workload], state: &State) -> Changes {
    let mut work = Work {
        state,
        load: BTreeMap::new(),
        serial: state.serial,
        changes: Changes::default(),
    };
    work.remove_lost(workloads);
    let lost = work.changes.remove.clone();
    for (at, pod) in state.pods.iter().enumerate() {
        if !lost.contains(&at) {
            work.count(&pod.node, &pod.owner);
        }
    }
    for workload in workloads {
        let owner = owner(workload);
        let replicas = state.replicas.get(&owner).copied();
        let replicas = replicas.unwrap_or(workload.replicas);
        match workload.kind {
            WorkloadKind::Deployment | WorkloadKind::ReplicaSet => {
                work.replica_set(workload, &owner, replicas);
            }
            WorkloadKind::StatefulSet => work.stateful_set(workload, &owner, replicas),
            WorkloadKind::DaemonSet => work.daemon_set(workload, &owner),
            WorkloadKind::Pod => work.bare_pod(workload, &owner),
        }
    }
    work.changes.remove.sort_unstable();
    work.changes
}

struct Work<'s> {
    state: &'s State,
    /// Pods by node and owner.
    load: BTreeMap<(String, String), usize>,
    serial: u32,
    changes: Changes,
}

impl Work<'_> {
    fn remove_lost(&mut self, workloads: &[Workload]) {
        let owners: Vec<String> = workloads.iter().map(owner).collect();
        for (at, pod) in self.state.pods.iter().enumerate() {
            let on_working_node = self.state.working().any(|node| node.name == pod.node);
            if !on_working_node || !owners.contains(&pod.owner) {
                self.changes.remove.push(at);
            }
        }
    }

    /// The pods of an owner that stay, with their positions.
    fn of(&self, owner: &str) -> Vec<(usize, &PodState)> {
        let removed = &self.changes.remove;
        let pods = self.state.pods.iter().enumerate();
        pods.filter(|(at, pod)| pod.owner == owner && !removed.contains(at))
            .collect()
    }

    fn count(&mut self, node: &str, owner: &str) {
        let key = (node.to_owned(), owner.to_owned());
        *self.load.entry(key).or_default() += 1;
    }

    /// The node with the fewest pods of this owner, then the fewest at all.
    fn place(&self, owner: &str) -> Option<&NodeState> {
        let own = |node: &NodeState| {
            let key = (node.name.clone(), owner.to_owned());
            self.load.get(&key).copied().unwrap_or_default()
        };
        let all = |node: &NodeState| -> usize {
            let of_node = self.load.iter().filter(|((name, _), _)| *name == node.name);
            of_node.map(|(_, pods)| pods).sum()
        };
        let free = self
            .state
            .working()
            .filter(|node| all(node) < super::plan::MAX_PODS);
        free.min_by_key(|node| (own(node), all(node)))
    }

    fn add(&mut self, workload: &Workload, owner: &str, name: String, node: Option<String>) {
        let node = node.or_else(|| self.place(owner).map(|node| node.name.clone()));
        let Some(node) = node else {
            let text = format!(
                "Pod {}/{name} is pending: no node has room",
                workload.name.namespace
            );
            self.changes.pending.push(text);
            return;
        };
        self.count(&node, owner);
        self.serial += 1;
        let template = &workload.template;
        let text = |field: &Option<Box<str>>| field.as_deref().map(str::to_owned);
        let (hostname, subdomain) = match workload.kind {
            WorkloadKind::StatefulSet => (Some(name.clone()), text(&workload.service_name)),
            _ => (text(&template.hostname), text(&template.subdomain)),
        };
        self.changes.add.push(NewPod {
            owner: owner.to_owned(),
            name,
            node,
            serial: self.serial,
            hostname,
            subdomain,
            template: template.clone(),
        });
    }

    fn random_name(&self, workload: &Workload, owner: &str) -> String {
        format!("{}-{}", workload.name.name, ending(owner, self.serial + 1))
    }

    fn replica_set(&mut self, workload: &Workload, owner: &str, replicas: u32) {
        let wanted = replicas as usize;
        let mut live: Vec<(bool, u32, usize)> = self
            .of(owner)
            .into_iter()
            .filter(|(_, pod)| !pod.terminating)
            .map(|(at, pod)| (!pod.ready, pod.serial, at))
            .collect();
        // Those that are not ready go first, then the newest.
        live.sort_unstable();
        let surplus = live.iter().skip(wanted).map(|(_, _, at)| *at);
        self.changes.remove.extend(surplus);
        for _ in live.len()..wanted {
            let name = self.random_name(workload, owner);
            self.add(workload, owner, name, None);
        }
    }

    fn stateful_set(&mut self, workload: &Workload, owner: &str, replicas: u32) {
        let name = |ordinal: u32| format!("{}-{ordinal}", workload.name.name);
        let wanted: Vec<String> = (0..replicas).map(name).collect();
        let there = self.of(owner);
        let surplus: Vec<usize> = there
            .iter()
            .filter(|(_, pod)| !wanted.contains(&pod.name))
            .map(|(at, _)| *at)
            .collect();
        // A pod that is terminating keeps its name until it is gone.
        let have: Vec<String> = there.iter().map(|(_, pod)| pod.name.clone()).collect();
        self.changes.remove.extend(surplus);
        for name in wanted.into_iter().filter(|name| !have.contains(name)) {
            self.add(workload, owner, name, None);
        }
    }

    fn daemon_set(&mut self, workload: &Workload, owner: &str) {
        let live = self.of(owner);
        let has = |node: &NodeState| {
            live.iter()
                .any(|(_, pod)| pod.node == node.name && !pod.terminating)
        };
        let bare: Vec<String> = self
            .state
            .working()
            .filter(|node| !has(node))
            .map(|node| node.name.clone())
            .collect();
        for node in bare {
            let name = self.random_name(workload, owner);
            self.add(workload, owner, name, Some(node));
        }
    }

    fn bare_pod(&mut self, workload: &Workload, owner: &str) {
        if !self.of(owner).is_empty() {
            return;
        }
        let name = workload.name.name.to_string();
        let Some(node) = workload.template.node_name.as_deref() else {
            self.add(workload, owner, name, None);
            return;
        };
        if self.state.working().any(|working| working.name == node) {
            self.add(workload, owner, name, Some(node.to_owned()));
            return;
        }
        let why = match self.state.node(node) {
            Some(_) => format!("node {node} has failed"),
            None => format!("the lab has no node {node}"),
        };
        let text = format!("Pod {} is pending: {why}", workload.name);
        self.changes.pending.push(text);
    }
}

/// Five letters that look random, and are the same in the same lab every time.
fn ending(owner: &str, serial: u32) -> String {
    let mut hash = DefaultHasher::new();
    hash.write(owner.as_bytes());
    hash.write_u32(serial);
    let mut rest = hash.finish();
    let base = LETTERS.len() as u64;
    let letter = |_| {
        let at = usize::try_from(rest % base).unwrap_or_default();
        rest /= base;
        char::from(LETTERS[at])
    };
    (0..5).map(letter).collect()
}

#[cfg(test)]
mod tests;

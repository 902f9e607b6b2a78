//! An embedded cluster of network namespaces: a switch, nodes with an agent each, pods, an outside
//! client and an outside balancer; to live what Services do, on one machine, in seconds.
//!
//! There is no daemon. What a lab is made of is on disk ([`state`]); every verb reads it under a
//! lock, changes the lab, and writes it again. The lab plays the part of the cluster's controllers:
//! it gives pods to Deployments, StatefulSets and DaemonSets, addresses to Services, and writes
//! EndpointSlices into the directory of manifests that the agents follow.
//!
//! | file | idea |
//! | --- | --- |
//! | [`plan`] | who has which address |
//! | [`place`], [`state`] | what belongs to a lab, told by its name; what there is in it |
//! | `schedule`, `ports` | which pods there should be, and where; on which ports they listen |
//! | `cluster`, `revision` | the manifests that agents follow; whether they have followed |
//! | `network`, `launch` | namespaces and links; programs in them |
//! | `machines` | agents, pods, the world outside: the two above together |
//! | `haproxy` | the outside balancer |
//! | [`up`], [`down`], [`verbs`] | what `portolan lab` does |
//! | [`look`], [`spread`] | what it is made of; who answers |
//! | [`enter`] | a command inside |
//! | [`pod_server`], [`outside`] | what runs in a pod; what external names stand for |
//!
//! Nothing of it touches the network namespace of the host. Must not be needed by anything else.

mod cluster;
pub mod down;
pub mod enter;
mod error;
mod haproxy;
mod launch;
pub mod look;
mod machines;
mod network;
pub mod outside;
pub mod place;
pub mod plan;
pub mod pod_server;
mod ports;
mod revision;
mod schedule;
pub mod spread;
pub mod state;
pub mod up;
pub mod verbs;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

pub use error::LabError;
pub use place::Place;
pub use state::{NodeState, PodState, State};

use crate::model::{NamespacedName, Service, Snapshot, Workload};
use crate::source::manifest::workloads::load_objects;
use crate::source::manifest::{ManifestInput, load};
use place::Lock;

/// The name of a lab if `--name` does not say.
pub const DEFAULT_NAME: &str = "lab";
/// Where the manifests of a lab are kept as they were written.
const WRITTEN: &str = "manifests.json";

/// A lab that stands, and the right to change it.
#[derive(Debug)]
pub struct Lab {
    /// Whose it is.
    pub place: Place,
    /// What it is made of.
    pub state: State,
    /// Its Services with their addresses, and slices that the manifests bring.
    pub snapshot: Snapshot,
    workloads: Vec<Workload>,
    _lock: Arc<Lock>,
}

impl Lab {
    /// The lab of a name, which must stand.
    ///
    /// # Errors
    /// There is none; not root.
    pub fn open(name: &str) -> Result<Self, LabError> {
        let place = Place::new(name)?;
        place::check_root()?;
        if !place.directory().exists() {
            return Err(no_lab(name));
        }
        let lock = place.lock().map_err(anyhow::Error::new)?;
        let Some(state) = State::read(&place)? else {
            // Asking must leave nothing behind either.
            if !place.directory().exists() {
                lock.remove();
            }
            return Err(no_lab(name));
        };
        let mut lab = Self {
            place,
            state,
            snapshot: Snapshot::default(),
            workloads: Vec::new(),
            _lock: Arc::new(lock),
        };
        lab.read_manifests()?;
        Ok(lab)
    }

    /// Reads again what the lab keeps on disk.
    fn read_manifests(&mut self) -> Result<(), LabError> {
        let input = |path: PathBuf| ManifestInput {
            paths: vec![path.to_string_lossy().into_owned()],
            ..ManifestInput::default()
        };
        let services = cluster::directory(&self.place).join("services.yaml");
        self.snapshot = load(&input(services))?.into_snapshot();
        self.workloads = load_objects(&input(self.place.file(WRITTEN)))?.workloads;
        Ok(())
    }

    /// The Services.
    #[must_use]
    pub fn services(&self) -> &BTreeMap<NamespacedName, Service> {
        &self.snapshot.services
    }

    /// What makes its pods.
    #[must_use]
    pub fn workloads(&self) -> &[Workload] {
        &self.workloads
    }

    /// A pod by its name, with or without `pod/` and a namespace.
    ///
    /// # Errors
    /// There is none, or several namespaces have one.
    pub fn pod(&self, name: &str) -> Result<usize, LabError> {
        let short = name.strip_prefix("pod/").unwrap_or(name);
        let (namespace, short) = match short.split_once('/') {
            Some((namespace, short)) => (Some(namespace), short),
            None => (None, short),
        };
        let pods = self.state.pods.iter().enumerate();
        let found: Vec<usize> = pods
            .filter(|(_, pod)| {
                pod.name == short && namespace.is_none_or(|wanted| wanted == pod.namespace)
            })
            .map(|(at, _)| at)
            .collect();
        match found[..] {
            [at] => Ok(at),
            [] => Err(LabError::Asked(format!(
                "lab {} has no pod {name}: it has {}",
                self.place.name(),
                listed(self.state.pods.iter().map(|pod| pod.name.as_str()))
            ))),
            _ => Err(LabError::Asked(format!(
                "several namespaces have a pod {short}: say NAMESPACE/{short}"
            ))),
        }
    }

    /// The log of a node's agent.
    ///
    /// # Errors
    /// There is no such node.
    pub fn log(&self, node: &str) -> Result<std::fs::File, LabError> {
        self.node_at(node)?;
        Ok(std::fs::File::open(launch::log_file(&self.place, node))?)
    }

    fn save(&self) -> Result<(), LabError> {
        self.state.write(&self.place)
    }
}

fn no_lab(name: &str) -> LabError {
    let others = place::all();
    LabError::Asked(match others.is_empty() {
        true => format!("no lab {name} stands: portolan lab up makes one"),
        false => format!(
            "no lab {name} stands, but {}: say --name",
            listed(others.iter().map(String::as_str))
        ),
    })
}

/// `a, b, c`, or `none`.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    }
}

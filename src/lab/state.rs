//! What a lab is made of at one moment, as it is kept on disk between two verbs.
//!
//! There is no daemon: every verb reads this, changes the lab, and writes it again.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::LabError;
use super::place::Place;
use crate::kernel::process::Process;
use crate::model::{ContainerPort, NamespacedName, Pod, Protocol};

/// The file it is kept in.
const FILE: &str = "lab.json";

/// A lab.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// `--mode` of the agents.
    pub mode: String,
    /// `--lb-pool` and `--announce-lb` of the agents; none without.
    #[serde(default)]
    pub lb_pool: Vec<String>,
    /// HAProxy on the balancer, if it is wanted there.
    pub haproxy: Option<Process>,
    /// The nodes, in order.
    pub nodes: Vec<NodeState>,
    /// The pods, in the order they were made.
    pub pods: Vec<PodState>,
    /// `spec.replicas` where `lab scale` has changed it, by workload.
    pub replicas: BTreeMap<String, u32>,
    /// How many pods there have ever been.
    pub serial: u32,
    /// How often the agents were told of endpoints.
    pub revision: u64,
    /// External names, and the addresses that stand for them.
    pub outside: BTreeMap<String, Ipv4Addr>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// Its name.
    pub name: String,
    /// Its number, from 1.
    pub number: u8,
    /// Its address.
    pub address: Ipv4Addr,
    /// Whether `lab fail` has taken it away.
    pub failed: bool,
    /// Last byte of the address that a pod got last.
    pub last_pod: u8,
    /// The agent.
    pub agent: Option<Process>,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodState {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What made it: `Deployment default/mydp`.
    pub owner: String,
    /// The how-manieth pod of the lab it is.
    pub serial: u32,
    /// The node it runs on.
    pub node: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// Whether `lab pod unready` has not been said.
    pub ready: bool,
    /// Whether `lab pod terminate` has been said.
    pub terminating: bool,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `spec.hostname`.
    pub hostname: Option<String>,
    /// `spec.subdomain`.
    pub subdomain: Option<String>,
    /// Container ports: name, port, protocol in upper case.
    pub ports: Vec<(String, u16, String)>,
    /// TCP ports that its server listens on.
    pub tcp: Vec<u16>,
    /// UDP ports that its server listens on.
    pub udp: Vec<u16>,
    /// Its server.
    pub process: Option<Process>,
}

impl State {
    /// Reads the state of a lab; `None` where there is none.
    ///
    /// # Errors
    /// The file cannot be read, or not understood.
    pub fn read(place: &Place) -> Result<Option<Self>, LabError> {
        let path = place.file(FILE);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let state = serde_json::from_slice(&text).map_err(|error| {
            anyhow::Error::new(error).context(format!("cannot understand {}", path.display()))
        })?;
        Ok(Some(state))
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, place: &Place) -> Result<(), LabError> {
        let text = serde_json::to_vec_pretty(self)?;
        Ok(replace(&place.file(FILE), &text)?)
    }

    /// A node by its name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&NodeState> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// The nodes that work.
    pub fn working(&self) -> impl Iterator<Item = &NodeState> {
        self.nodes.iter().filter(|node| !node.failed)
    }
}

impl PodState {
    /// Namespace and name.
    #[must_use]
    pub fn key(&self) -> (&str, &str) {
        (&self.namespace, &self.name)
    }

    /// The pod as the model knows it.
    #[must_use]
    pub fn pod(&self) -> Pod {
        let labels = self.labels.iter();
        let ports = self
            .ports
            .iter()
            .filter_map(|(name, port, protocol)| {
                Some(ContainerPort {
                    name: name.as_str().into(),
                    port: *port,
                    protocol: [Protocol::Tcp, Protocol::Udp, Protocol::Sctp]
                        .into_iter()
                        .find(|known| known.upper() == protocol)?,
                })
            })
            .collect();
        Pod {
            name: NamespacedName::new(self.namespace.as_str(), self.name.as_str()),
            labels: labels
                .map(|(k, v)| (k.as_str().into(), v.as_str().into()))
                .collect(),
            ips: vec![self.address.into()],
            node_name: Some(Arc::from(self.node.as_str())),
            hostname: self.hostname.as_deref().map(Into::into),
            subdomain: self.subdomain.as_deref().map(Into::into),
            ready: self.ready,
            terminating: self.terminating,
            finished: false,
            ports,
        }
    }
}

/// Writes a file beside its place and moves it there, so that who follows it never sees a half.
///
/// # Errors
/// The file system refuses.
pub(super) fn replace(path: &std::path::Path, text: &[u8]) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    fs::write(&new, text)?;
    fs::rename(&new, path)
}

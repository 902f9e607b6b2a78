//! `portolan lab up`: from manifests to a cluster that runs.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::place::{self, Lock};
use super::state::NodeState;
use super::{
    Lab, LabError, Place, State, WRITTEN, cluster, down, machines, network, plan, ports, revision,
};
use crate::agent::cluster::{Cluster, StateAccess};
use crate::config::ProxyConfig;
use crate::model::Snapshot;
use crate::source::manifest::workloads::{Objects, load_objects};
use crate::source::manifest::{ManifestInput, Note};

/// The manifests of the course, as they are in `examples/`.
const EXAMPLES: [(&str, &str); 8] = [
    (
        "cassandra.yml",
        include_str!("../../examples/cassandra.yml"),
    ),
    ("cluster.yml", include_str!("../../examples/cluster.yml")),
    (
        "clusterip.yml",
        include_str!("../../examples/clusterip.yml"),
    ),
    (
        "external-db.yml",
        include_str!("../../examples/external-db.yml"),
    ),
    (
        "loadbalancer.yml",
        include_str!("../../examples/loadbalancer.yml"),
    ),
    ("mydeploy.yml", include_str!("../../examples/mydeploy.yml")),
    ("myhead.yml", include_str!("../../examples/myhead.yml")),
    (
        "mynodeport.yml",
        include_str!("../../examples/mynodeport.yml"),
    ),
];
/// Where they, and what came by standard input, are kept while the lab stands.
const INPUT: &str = "input";

/// What to make.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Name of the lab.
    pub name: String,
    /// Manifests; none: the examples of the course.
    pub input: ManifestInput,
    /// How many nodes.
    pub nodes: u8,
    /// `--mode` of the agents.
    pub mode: String,
    /// Whether an HAProxy is to run on the balancer.
    pub haproxy: bool,
    /// What load balancers get addresses from, for which nodes then answer; none without.
    pub lb_pool: Vec<String>,
    /// Ranges that addresses are allocated from.
    pub config: ProxyConfig,
}

/// A lab that was made, and what there is to say about it.
#[derive(Debug)]
pub struct Made {
    /// The lab.
    pub lab: Lab,
    /// About its manifests, from reading them.
    pub notes: Vec<Note>,
    /// About its pods.
    pub remarks: Vec<String>,
}

/// Makes a lab. Bad manifests are refused before anything is made, and if anything fails, nothing is
/// left.
///
/// # Errors
/// A lab of the name stands already; the manifests are wrong; the machine does not do it.
pub fn up(wish: &Wish) -> Result<Made, LabError> {
    let place = Place::new(&wish.name)?;
    place::check_root()?;
    let lock = place.lock().map_err(anyhow::Error::new)?;
    if down::stands(&place)? {
        return Err(LabError::Asked(format!(
            "lab {0} stands already: portolan lab down --name {0} removes it, --name OTHER makes another \
             beside it",
            wish.name
        )));
    }
    let lock = Arc::new(lock);
    let made = build(wish, &place, &lock);
    if made.is_err() {
        if let Err(left) = down::remove(&place) {
            tracing::warn!("what was made is not all removed: {left:#}");
        }
        lock.remove();
    }
    made
}

fn build(wish: &Wish, place: &Place, lock: &Arc<Lock>) -> Result<Made, LabError> {
    fs::create_dir_all(place.directory())?;
    let (snapshot, notes) = read(wish, place)?;
    let mut lab = Lab {
        place: place.clone(),
        state: State {
            mode: wish.mode.clone(),
            lb_pool: wish.lb_pool.clone(),
            nodes: (1..=wish.nodes).map(node).collect(),
            outside: cluster::outside(&snapshot).into_iter().collect(),
            ..State::default()
        },
        snapshot,
        workloads: Vec::new(),
        _lock: Arc::clone(lock),
    };
    let remarks = lab.build()?;
    if wish.haproxy {
        lab.start_haproxy()?;
    }
    Ok(Made {
        lab,
        notes,
        remarks,
    })
}

fn node(number: u8) -> NodeState {
    NodeState {
        name: plan::node_name(number),
        number,
        address: plan::node_address(number),
        failed: false,
        last_pod: 1,
        agent: None,
    }
}

/// Reads the manifests, gives every Service its addresses, and keeps both.
fn read(wish: &Wish, place: &Place) -> Result<(Snapshot, Vec<Note>), LabError> {
    let input = settled(&wish.input, place)?;
    let allocations = place.file("allocations");
    fs::create_dir_all(&allocations)?;
    // Once without DNS: whether the manifests bring it shows only when they are read.
    let Objects {
        mut written, notes, ..
    } = match Cluster::load(&input, &wish.config, &allocations, StateAccess::ReadOnly) {
        Ok(_) => load_objects(&input)?,
        Err(error) => return Err(error.into()),
    };
    let has_dns = written.iter().any(|object| {
        let is_service = object["kind"] == "Service" && object["apiVersion"] == "v1";
        let has_address = object["spec"]["clusterIP"] == json!(plan::DNS);
        let name = cluster::name_of(object);
        let has_name = (&*name.namespace, &*name.name) == cluster::DNS_SERVICE;
        is_service && (has_address || has_name)
    });
    if !has_dns {
        written.push(cluster::dns_service());
    }
    written.push(revision::service());
    written.retain(|object| object["kind"] != "Node");
    let list = json!({"apiVersion": "v1", "kind": "List", "items": Value::Array(written.clone())});
    let path = place.file(WRITTEN);
    fs::write(&path, serde_json::to_vec_pretty(&list)?)?;
    let kept = input_of(&path);
    let cluster = Cluster::load(&kept, &wish.config, &allocations, StateAccess::Keep)?;
    cluster.keep_allocations().map_err(anyhow::Error::new)?;
    cluster::write_services(place, &written, &cluster.snapshot)?;
    Ok((cluster.snapshot, notes))
}

fn input_of(path: &Path) -> ManifestInput {
    ManifestInput {
        paths: vec![path.to_string_lossy().into_owned()],
        ..ManifestInput::default()
    }
}

/// The same input in files that can be read more than once.
fn settled(input: &ManifestInput, place: &Place) -> Result<ManifestInput, LabError> {
    let directory = place.file(INPUT);
    fs::create_dir_all(&directory)?;
    let mut settled = input.clone();
    if settled.paths.is_empty() {
        for (name, text) in EXAMPLES {
            fs::write(directory.join(name), text)?;
        }
        settled.paths.push(directory.to_string_lossy().into_owned());
    }
    for path in settled.paths.iter_mut().filter(|path| *path == "-") {
        let file = directory.join("stdin.yaml");
        if !file.exists() {
            let mut text = Vec::new();
            io::stdin().lock().read_to_end(&mut text)?;
            fs::write(&file, text)?;
        }
        *path = file.to_string_lossy().into_owned();
    }
    Ok(settled)
}

impl Lab {
    /// Everything but the manifests.
    fn build(&mut self) -> Result<Vec<String>, LabError> {
        self.read_manifests()?;
        self.save()?;
        network::build_lan(&self.place, &self.state.nodes)?;
        let machines = [
            (network::CLIENT, plan::CLIENT),
            (network::BALANCER, plan::BALANCER),
            (network::ROUTER, plan::ROUTER),
        ];
        let nodes = self.state.nodes.iter();
        let nodes = nodes.map(|node| (node.name.as_str(), node.address));
        for (name, address) in machines.into_iter().chain(nodes) {
            machines::write_own_files(&self.place, &self.place.machine(name), name, address, None)?;
        }
        for address in self.state.outside.values() {
            network::add_outside(&self.place, *address)?;
        }
        for node in &self.state.nodes {
            network::build_node(&self.place, node, &self.state.nodes)?;
        }
        self.write_endpoints()?;
        let outside = machines::start_outside(&self.place, &self.state)?;
        let all: Vec<String> = self.state.nodes.iter().map(|n| n.name.clone()).collect();
        self.start_agents(&all, machines::Before::Kept)?;
        outside.wait()?;
        let pending = self.converge()?;
        let mut remarks: Vec<String> = pending
            .into_iter()
            .filter(|line| line.contains("pending"))
            .collect();
        for workload in &self.workloads {
            remarks.extend(ports::notes(&workload.template, &self.snapshot.services));
        }
        remarks.sort();
        remarks.dedup();
        Ok(remarks)
    }
}

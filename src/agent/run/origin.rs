//! Where an agent has its Services from, and opening it.

use std::path::PathBuf;
use std::time::Instant;

use tokio::runtime::Handle;

use super::cluster::{Cluster, Opened};
use super::feeds::Feeds;
use super::observers::Observers;
use super::source::Source;
use super::{RunError, RunOptions, systemd};
use crate::agent::live::LiveSource;
use crate::model::Snapshot;
use crate::source::kubernetes::KubernetesOptions;
use crate::source::manifest::ManifestInput;
use crate::source::watch::WatchList;

/// Where Services come from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// Files.
    Manifests {
        /// Which.
        input: ManifestInput,
        /// Where allocations are kept.
        state_dir: PathBuf,
    },
    /// The API server of a cluster, which allocates itself.
    Kubernetes(KubernetesOptions),
}

impl Origin {
    /// No manifests, for who does not run.
    #[must_use]
    pub fn nothing() -> Self {
        Self::Manifests {
            input: ManifestInput {
                paths: Vec::new(),
                recursive: false,
                strict: false,
            },
            state_dir: PathBuf::new(),
        }
    }

    /// The files to watch.
    pub(super) fn files(&self) -> WatchList {
        match self {
            Self::Manifests { input, .. } => WatchList::of_input(input),
            Self::Kubernetes(_) => WatchList::default(),
        }
    }
}

/// A source and its first complete state.
pub(super) type Start = (Box<dyn Source>, Snapshot);

/// Opens the source, and gives it with its first complete state; `None` if a signal to stop came
/// before there was one.
pub(super) fn open(
    options: &RunOptions,
    feeds: &mut Feeds,
    observers: &mut Observers,
    runtime: &Handle,
) -> Result<Option<Start>, RunError> {
    match &options.origin {
        Origin::Manifests { input, state_dir } => {
            let (source, snapshot) = LiveSource::open(input.clone(), &options.config, state_dir)?;
            Ok(Some((Box::new(source), snapshot)))
        }
        Origin::Kubernetes(kubernetes) => {
            let registry = observers.metrics.registry();
            let (config, names) = (&options.config, options.dns.is_some());
            let cluster = Cluster::start(kubernetes, config, names, feeds, runtime, registry)?;
            observers.health.watches(cluster.vital().clone());
            observers.announcer = Some(cluster.announcer());
            let mut watchdog = systemd::Watchdog::new(Instant::now());
            match cluster.open(config, feeds, &mut watchdog)? {
                Opened::Complete(source, snapshot) => Ok(Some((source, *snapshot))),
                Opened::Stopped(signal) => {
                    tracing::info!(signal, "stopping before anything was programmed");
                    Ok(None)
                }
            }
        }
    }
}

//! The Kubernetes API as the source of the loop, and waiting for the first complete lists.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use prometheus::Registry;
use tokio::runtime::Handle;

use super::feeds::{Event, Feeds};
use super::source::Source;
use super::systemd::Watchdog;
use super::{RunError, own_runtime};
use crate::agent::cluster::LoadError;
use crate::config::{DetectLocal, ProxyConfig};
use crate::model::{Snapshot, SnapshotDelta};
use crate::source::changes::Changes;
use crate::source::kubernetes::live::{LiveCluster, News};
use crate::source::kubernetes::vital::Vital;
use crate::source::kubernetes::{
    Announcer, Batch, KubernetesOptions, Resource, Selection, Watches,
};
use crate::source::manifest::Note;
use crate::source::watch::WatchList;

/// How often it is said what is being waited for.
const REMINDER: Duration = Duration::from_secs(30);

/// The watches, and what is known besides the snapshot.
#[derive(Debug)]
pub(super) struct Cluster {
    live: LiveCluster,
    watches: Watches,
    vital: Vital,
    no_files: WatchList,
}

/// How waiting for the cluster ended.
pub(super) enum Opened {
    /// All that rules need is known.
    Complete(Box<Cluster>, Box<Snapshot>),
    /// A signal, by name, came first.
    Stopped(&'static str),
}

impl Cluster {
    /// Starts watching.
    pub(super) fn start(
        options: &KubernetesOptions,
        config: &ProxyConfig,
        names: bool,
        feeds: &Feeds,
        runtime: &Handle,
        registry: &Registry,
    ) -> Result<Self, RunError> {
        let vital = Vital::new(registry, options.stuck)?;
        let selection = Selection {
            node_name: config.node_name.to_string(),
            names,
        };
        let sender = feeds.sender();
        let sink = Arc::new(move |batch| sender.send(Event::Cluster(batch)).is_ok());
        let started = Watches::start(options, selection, vital.clone(), sink);
        let watches = runtime.block_on(started)?;
        Ok(Self {
            live: LiveCluster::new(Timestamp::now()),
            watches,
            vital,
            no_files: WatchList::default(),
        })
    }

    /// Events on the own Node.
    pub(super) fn announcer(&self) -> Announcer {
        self.watches.announcer().clone()
    }

    /// Signs of life of the watches.
    pub(super) fn vital(&self) -> &Vital {
        &self.vital
    }

    /// Waits for everything that the first rules need. What is in the kernel stays until then.
    pub(super) fn open(
        mut self,
        config: &ProxyConfig,
        feeds: &mut Feeds,
        watchdog: &mut Watchdog,
    ) -> Result<Opened, RunError> {
        let mut snapshot = Snapshot::default();
        let mut remind_at = Instant::now() + REMINDER;
        let own = own_runtime()?;
        while let Some(missing) = self.missing(&snapshot, config) {
            let now = Instant::now();
            watchdog.pat(now);
            if remind_at <= now {
                tracing::warn!("waiting for {missing}; rules stay as they are");
                remind_at = now + REMINDER;
            }
            let due = watchdog.due().map_or(remind_at, |due| due.min(remind_at));
            let event = own
                .block_on(async { tokio::time::timeout_at(due.into(), feeds.events.recv()).await });
            match event {
                Ok(Some(Event::Cluster(batch))) => {
                    let news = self.received(batch, &snapshot);
                    snapshot.apply(news.delta);
                }
                Ok(Some(Event::Stop(signal))) => return Ok(Opened::Stopped(signal)),
                Ok(None) => return Ok(Opened::Stopped("end of events")),
                Ok(Some(Event::Files { .. } | Event::Reread)) | Err(_) => {}
            }
        }
        Ok(Opened::Complete(Box::new(self), Box::new(snapshot)))
    }

    /// What is not known yet, in words; `None` if nothing is missing.
    fn missing(&self, snapshot: &Snapshot, config: &ProxyConfig) -> Option<String> {
        if !self.live.is_complete() {
            let missing = Resource::ALL.into_iter();
            let missing = missing.filter(|resource| !self.live.is_listed(*resource));
            let missing: Vec<&str> = missing.map(Resource::as_str).collect();
            return Some(format!("a complete list of {}", missing.join(", ")));
        }
        if config.detect_local != DetectLocal::NodeCidr {
            return None;
        }
        let name = &config.node_name;
        match snapshot.nodes.get(name) {
            Some(node) if !node.pod_cidrs.is_empty() => None,
            Some(_) => Some(format!("the podCIDRs of node {name}")),
            None => Some(format!("node {name} and its podCIDRs")),
        }
    }
}

impl Source for Cluster {
    /// Somebody asked for everything to be read again.
    fn changed(&mut self, what: &Changes, _: &Snapshot) -> Result<SnapshotDelta, LoadError> {
        if what.everything {
            self.watches.relist();
        }
        Ok(SnapshotDelta::default())
    }

    fn failing(&self) -> Option<&str> {
        None
    }

    fn notes(&mut self) -> Vec<Note> {
        Vec::new()
    }

    fn watch_list(&mut self) -> &WatchList {
        &self.no_files
    }

    fn received(&mut self, batch: Batch, current: &Snapshot) -> News {
        let resource = batch.resource;
        let news = self.live.take(batch, current);
        self.vital.counted(
            resource,
            self.live.is_listed(resource),
            self.live.flawed(resource),
        );
        news
    }
}

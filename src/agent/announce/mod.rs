//! `run --announce-lb`: the addresses of load balancers answered for on the nodes' own network.
//!
//! | file | idea |
//! | --- | --- |
//! | `task` | on manifests, one thread: heartbeats in and out, questions answered |
//! | `leased` | in a cluster, one thread: the Leases that this node holds, questions answered |
//! | `leases` | keeping those Leases |
//! | `held` | until when each of them may be answered for |
//! | `giving` | in a cluster, addresses for Services that have none |
//! | `part` | what this node answers for |
//! | `links` | on which links |
//!
//! Follows rules: what is announced can be reached. Must not decide who answers
//! ([`crate::announce`] does).

mod giving;
mod held;
mod leased;
mod leases;
mod links;
mod part;
mod task;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use prometheus::{IntGauge, Registry};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::announce::{Claim, Nodes, Timing};
use crate::model::allocate::AddressRange;
use crate::model::{NamespacedName, ServiceType, Snapshot, Touched};
use crate::source::kubernetes::AccessError;
use giving::Changes;
use leased::Leased;
use task::Task;

pub use leases::LeaseOptions;

/// How it is done.
#[derive(Clone, Debug)]
pub struct AnnounceOptions {
    /// This node.
    pub node: Arc<str>,
    /// `--lb-pool`.
    pub pool: Vec<AddressRange>,
    /// The links to answer on; those that have a network with an address of the pool if empty.
    pub interfaces: Vec<String>,
    /// UDP port of heartbeats.
    pub port: u16,
    /// Their timing.
    pub timing: Timing,
    /// In a cluster: Leases in place of heartbeats.
    pub leases: Option<LeaseOptions>,
}

/// Addresses cannot be announced.
#[derive(Debug, thiserror::Error)]
pub enum AnnounceError {
    /// The port of heartbeats.
    #[error("--announce-lb: cannot listen to other nodes at UDP port {port}")]
    Heartbeats {
        /// Which.
        port: u16,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The API server cannot be asked for Leases.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// No thread.
    #[error("--announce-lb: cannot start its thread")]
    Thread(#[source] io::Error),
    /// Two metrics have one name.
    #[error(transparent)]
    Metrics(#[from] prometheus::Error),
}

/// What the thread is told.
#[derive(Debug)]
enum News {
    /// Services that changed.
    Claims(BTreeMap<NamespacedName, Option<Claim>>),
    /// All nodes.
    Nodes(Nodes),
    /// In a cluster: until when Services may be answered for by their Leases, where that has
    /// changed.
    Held(BTreeMap<NamespacedName, Option<Instant>>),
    /// In a cluster: this node gives no addresses any more.
    NoMoreGiven,
    /// Hand over, and end.
    Leave,
}

/// Announcing, on a thread of its own. Dropping it ends it at once, without a word to others; see
/// [`leave`](Self::leave).
#[derive(Debug)]
pub struct AddressAnnouncer {
    news: UnboundedSender<News>,
    thread: Option<JoinHandle<()>>,
    pool: Vec<AddressRange>,
    /// In a cluster: who gives Services their addresses.
    giving: Option<UnboundedSender<Changes>>,
}

impl AddressAnnouncer {
    /// Starts in the network namespace of the calling thread; Leases are kept on `runtime`, which
    /// reaches the API server. Nothing is announced before a
    /// snapshot comes, and before others could have been heard.
    ///
    /// # Errors
    /// See [`AnnounceError`].
    pub fn start(
        options: AnnounceOptions,
        registry: &Registry,
        runtime: &Handle,
    ) -> Result<Self, AnnounceError> {
        let gauge = IntGauge::new(
            "portolan_announced_addresses",
            "Addresses of load balancers that this node answers for.",
        )?;
        registry.register(Box::new(gauge.clone()))?;
        let (news, heard) = unbounded_channel();
        let pool = options.pool.clone();
        let thread = std::thread::Builder::new().name("announce".to_owned());
        let (thread, giving) = if let Some(leases) = options.leases.clone() {
            let started = Leased::start(options, leases, gauge, news.clone(), runtime)?;
            let (leased, giving) = started;
            (thread.spawn(move || leased.run(heard)), Some(giving))
        } else {
            let task = Task::new(options, gauge)?;
            (thread.spawn(move || task.run(heard)), None)
        };
        let thread = thread.map_err(AnnounceError::Thread)?;
        Ok(Self {
            news,
            thread: Some(thread),
            pool,
            giving,
        })
    }

    /// The rules of a whole snapshot are in force.
    pub fn follow_all(&self, snapshot: &Snapshot) {
        let claims = snapshot.services.keys();
        let claims =
            claims.filter_map(|name| Some((name.clone(), Claim::of(snapshot, name, &self.pool)?)));
        let claims = claims.map(|(name, claim)| (name, Some(claim))).collect();
        self.tell(News::Nodes(snapshot.nodes.clone()));
        self.tell(News::Claims(claims));
        self.tell_balancers(snapshot, snapshot.services.keys());
    }

    /// The rules of what is touched are in force.
    pub fn follow_touched(&self, snapshot: &Snapshot, touched: &Touched) {
        if !touched.nodes.is_empty() {
            self.tell(News::Nodes(snapshot.nodes.clone()));
        }
        let services = touched.services.iter();
        let claims = services.map(|name| (name.clone(), Claim::of(snapshot, name, &self.pool)));
        let claims: BTreeMap<_, _> = claims.collect();
        if !claims.is_empty() {
            self.tell(News::Claims(claims));
        }
        self.tell_balancers(snapshot, touched.services.iter());
    }

    /// Those that are none are told of as well: they may have been.
    fn tell_balancers<'s>(
        &self,
        snapshot: &Snapshot,
        names: impl Iterator<Item = &'s NamespacedName>,
    ) {
        let Some(giving) = &self.giving else { return };
        let balancer = |name: &NamespacedName| {
            let service = snapshot.services.get(name);
            service.filter(|service| service.service_type == ServiceType::LoadBalancer)
        };
        let all: BTreeMap<_, _> = names
            .map(|name| (name.clone(), balancer(name).cloned()))
            .collect();
        if !all.is_empty() {
            // Who has ended gives nothing.
            let _ = giving.send(all);
        }
    }

    /// Hands what this node answers for over to others, and ends.
    pub fn leave(mut self) {
        self.tell(News::Leave);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }

    /// A thread that has ended hears nothing.
    fn tell(&self, news: News) {
        let _ = self.news.send(news);
    }
}

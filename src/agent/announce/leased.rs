//! The thread where a cluster's API server decides: which Services this node would do for goes to
//! the keeper of Leases, and what it holds is answered for.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::IntGauge;
use tokio::runtime::{Builder, Handle};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;

use super::giving::Giving;
use super::leases::{LeaseOptions, Leases, Wishes};
use super::part::Part;
use super::task::question;
use super::{AnnounceError, AnnounceOptions, News};
use crate::announce::{Election, LeaseWish};
use crate::model::NamespacedName;
use crate::source::kubernetes::client::Renewed;

pub(super) struct Leased {
    options: AnnounceOptions,
    gauge: IntGauge,
    wishes: watch::Sender<Wishes>,
    giving: Giving,
    /// How long to wait for others at the end.
    handover: Duration,
}

impl Leased {
    /// Starts the keeper of Leases on the runtime that reaches the API server.
    pub(super) fn start(
        options: AnnounceOptions,
        leases: LeaseOptions,
        gauge: IntGauge,
        news: UnboundedSender<News>,
        runtime: &Handle,
    ) -> Result<Self, AnnounceError> {
        let (wishes, heard) = watch::channel(Wishes::new());
        let node = Arc::clone(&options.node);
        let handover = leases.timing.retry() * 2 + Duration::from_millis(500);
        let renewed = Arc::new(runtime.block_on(Renewed::new(leases.access.clone()))?);
        let (pool, of_giving) = (options.pool.clone(), news.clone());
        let giving = Giving::start(Arc::clone(&renewed), pool, of_giving, runtime);
        let tell = Box::new(move |services| {
            // A thread that has ended answers for nothing.
            let _ = news.send(News::Held(services));
        });
        runtime.spawn(Leases::new(leases, node, renewed, heard, tell).run());
        Ok(Self {
            options,
            gauge,
            wishes,
            giving,
            handover,
        })
    }

    pub(super) fn run(self, news: UnboundedReceiver<News>) {
        match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(self.serve(news)),
            Err(error) => tracing::error!(%error, "cannot announce addresses"),
        }
    }

    async fn serve(mut self, mut news: UnboundedReceiver<News>) {
        let mut election = Election::new(Arc::clone(&self.options.node));
        let mut part = Part::new(&self.options, self.gauge.clone());
        let mut held = BTreeSet::new();
        // Set when this node is to end.
        let mut end: Option<Instant> = None;
        loop {
            let due = end.map_or(part.due(), |end| part.due().min(end));
            let heard = tokio::select! {
                news = news.recv() => Some(news),
                () = question(&part.links.open) => { part.answer(); None }
                () = tokio::time::sleep_until(due.into()) => None,
            };
            let now = Instant::now();
            part.time(&self.options, now);
            match heard {
                Some(None) => return,
                Some(Some(News::Claims(claims))) => election.change(claims),
                Some(Some(News::Nodes(nodes))) => election.set_nodes(nodes),
                Some(Some(News::Held(services))) => held = services,
                Some(Some(News::Balancers(services))) => self.giving.change(services),
                Some(Some(News::NotGiven(service))) => self.giving.not_given(&service),
                Some(Some(News::Leave)) => end = Some(now + self.handover),
                None => {
                    if end.is_some_and(|end| end <= now) {
                        return;
                    }
                    continue;
                }
            }
            if held.contains(&pool()) && end.is_none() {
                self.giving.give();
            } else {
                self.giving.stop();
            }
            part.set(election.addresses(&held), now);
            self.wish(&election, end.is_some());
            if end.is_some() && held.is_empty() {
                return;
            }
        }
    }

    /// Says what this node wants of the Lease of each Service that asks for something.
    fn wish(&self, election: &Election, leaving: bool) {
        let fit = election.fit();
        let wish = |fit: bool| match fit && !leaving {
            true => LeaseWish::Hold,
            false => LeaseWish::Leave,
        };
        let of_services = election.services();
        let of_services = of_services.map(|name| (name.clone(), wish(fit.contains(name))));
        let wishes: Wishes = of_services.chain([(pool(), wish(true))]).collect();
        self.wishes.send_if_modified(|before| {
            let changed = *before != wishes;
            *before = wishes;
            changed
        });
    }
}

/// The Lease by which one node gives out the addresses of the pool. No Service has a dot in its
/// name.
fn pool() -> NamespacedName {
    NamespacedName::new("portolan", "pool.addresses")
}

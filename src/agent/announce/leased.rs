//! The thread where a cluster's API server decides: which Services this node would do for goes to
//! the keeper of Leases, and what it holds is answered for.
//!
//! It answers for nothing beyond the time that a Lease was last renewed for, whether or not anybody
//! tells it so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus::IntGauge;
use tokio::runtime::{Builder, Handle};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;

use super::giving::{Changes, Ears, Giving};
use super::held::Held;
use super::leases::{LeaseOptions, Leases, Tell, Tenures, Wishes};
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
    /// Tells who gives addresses to end.
    stop: watch::Sender<bool>,
    /// How long to wait for others at the end.
    handover: Duration,
}

/// What the thread knows.
struct State {
    election: Election,
    part: Part,
    held: Held,
    /// Set when this node is to end.
    end: Option<Instant>,
    /// No write of an address is under way, nor will be.
    gives: bool,
}

impl Leased {
    /// Starts the keeper of Leases and who gives addresses, on the runtime that reaches the API
    /// server. The other part of the result takes Services for the latter.
    pub(super) fn start(
        options: AnnounceOptions,
        leases: LeaseOptions,
        gauge: IntGauge,
        news: UnboundedSender<News>,
        runtime: &Handle,
    ) -> Result<(Self, UnboundedSender<Changes>), AnnounceError> {
        let node = Arc::clone(&options.node);
        let handover = leases.timing.retry() * 2 + Duration::from_millis(500);
        let renewed = Arc::new(runtime.block_on(Renewed::new(leases.access.clone()))?);
        let (balancers, changes) = unbounded_channel();
        let (wishes, wished) = watch::channel(Wishes::new());
        let (term, of_giving) = watch::channel(None);
        let (stop, stopped) = watch::channel(false);
        let ears = Ears {
            changes,
            term: of_giving,
            stop: stopped,
        };
        let giving = Giving::new(Arc::clone(&renewed), options.pool.clone(), ears);
        let told = news.clone();
        runtime.spawn(async move {
            giving.run().await;
            // A thread that has ended lets go of nothing.
            let _ = told.send(News::NoMoreGiven);
        });
        let tell = teller(term, news);
        runtime.spawn(Leases::new(leases, node, renewed, wished, tell).run());
        let leased = Self {
            options,
            gauge,
            wishes,
            stop,
            handover,
        };
        Ok((leased, balancers))
    }

    pub(super) fn run(self, news: UnboundedReceiver<News>) {
        match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(self.serve(news)),
            Err(error) => tracing::error!(%error, "cannot announce addresses"),
        }
    }

    async fn serve(self, mut news: UnboundedReceiver<News>) {
        let mut state = State {
            election: Election::new(Arc::clone(&self.options.node)),
            part: Part::new(&self.options, self.gauge.clone()),
            held: Held::default(),
            end: None,
            gives: true,
        };
        loop {
            let due = state.due();
            let heard = tokio::select! {
                news = news.recv() => Some(news),
                () = question(&state.part.links.open) => { state.answer(); None }
                () = tokio::time::sleep_until(due.into()) => None,
            };
            let now = Instant::now();
            let held = &state.held;
            state
                .part
                .time(&self.options, now, &|service| held.holds(service));
            let mut changed = state.held.expire(now);
            if let Some(heard) = heard {
                let Some(heard) = heard else { return };
                changed |= self.hear(&mut state, heard, now);
            }
            if changed {
                let part = state.election.addresses(&state.held.services());
                state.part.set(part, now);
                self.wish(&state);
            }
            if state
                .end
                .is_some_and(|end| end <= now || state.held.is_empty())
            {
                return;
            }
        }
    }

    /// Takes in news; whether the part of this node may have changed.
    fn hear(&self, state: &mut State, news: News, now: Instant) -> bool {
        match news {
            News::Claims(claims) => state.election.change(claims),
            News::Nodes(nodes) => state.election.set_nodes(nodes),
            News::Held(changes) => return state.held.change(changes, now),
            News::NoMoreGiven => state.gives = false,
            News::Leave => {
                self.stop.send_replace(true);
                state.end = Some(now + self.handover);
            }
        }
        true
    }

    /// Says what this node wants of the Lease of each Service that asks for something.
    fn wish(&self, state: &State) {
        let leaving = state.end.is_some();
        let fit = state.election.fit();
        let wish = |hold: bool| match hold {
            true => LeaseWish::Hold,
            false => LeaseWish::Leave,
        };
        let of_services = state.election.services();
        let of_services =
            of_services.map(|name| (name.clone(), wish(fit.contains(name) && !leaving)));
        // Others may take the pool's as soon as it is released: not while a write is under way.
        let of_pool = (pool(), wish(state.gives));
        let wishes: Wishes = of_services.chain([of_pool]).collect();
        self.wishes.send_if_modified(|before| {
            let changed = *before != wishes;
            *before = wishes;
            changed
        });
    }
}

impl State {
    fn due(&self) -> Instant {
        let mut due = self.part.due();
        for at in [self.end, self.held.next_end()].into_iter().flatten() {
            due = due.min(at);
        }
        due
    }

    fn answer(&self) {
        self.part.answer(&|service| self.held.holds(service));
    }
}

/// Passes on what the keeper of Leases says: the pool's Lease to who gives addresses, all of them
/// to the thread.
fn teller(term: watch::Sender<Option<Instant>>, news: UnboundedSender<News>) -> Tell {
    let pool = pool();
    Box::new(move |tenures: Tenures| {
        if let Some(tenure) = tenures.get(&pool) {
            term.send_replace(tenure.and_then(|tenure| tenure.held_until));
        }
        let answered = tenures
            .into_iter()
            .map(|(service, tenure)| (service, tenure.map(|tenure| tenure.answered_until)));
        let answered: BTreeMap<_, _> = answered.collect();
        // A thread that has ended answers for nothing.
        let _ = news.send(News::Held(answered));
    })
}

/// The Lease by which one node gives out the addresses of the pool. No Service has a dot in its
/// name.
fn pool() -> NamespacedName {
    NamespacedName::new("portolan", "pool.addresses")
}

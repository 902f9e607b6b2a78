//! Addresses for the load balancers of a cluster: the node that holds the Lease of the pool writes
//! them into the status of Services that have none.
//!
//! | file | idea |
//! | --- | --- |
//! | `ask` | what the API server is asked, never beyond the Lease |
//! | `decide` | who is to get what, and what is not known to have arrived |
//! | `told` | what people are told, once |
//!
//! A Service that was watched says only *when* to look. *What* is given comes from a list of all
//! load balancers, which the API server makes after this node holds the Lease: it has whatever
//! another node gave before. Every request ends with the Lease, and nothing that was decided by one
//! outlives it.

mod ask;
mod decide;
mod told;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::time::sleep_until;

use crate::model::allocate::{AddressRange, give_balancers, unserved_balancers};
use crate::model::{NamespacedName, Service};
use crate::source::kubernetes::client::Renewed;
use ask::{Balancers, Unwritten};
use decide::{Gift, Unsure};
use told::Told;

/// After a failure.
const AGAIN: Duration = Duration::from_secs(3);
/// After somebody else has changed a Service, and between two looks at all of them.
const SOON: Duration = Duration::from_millis(200);
/// While a Service waits that should not have to, by all that was watched.
const SLOWLY: Duration = Duration::from_secs(5);

/// Services of type LoadBalancer that changed, or are none any more.
pub(super) type Changes = BTreeMap<NamespacedName, Option<Service>>;
type Gifts = BTreeMap<NamespacedName, Vec<IpAddr>>;
/// Until when this node holds the Lease of the pool, if it does.
pub(super) type Term = Option<Instant>;

/// What it is told.
pub(super) struct Ears {
    pub(super) changes: UnboundedReceiver<Changes>,
    pub(super) term: watch::Receiver<Term>,
    /// It is to end: no request of it is under way once it has.
    pub(super) stop: watch::Receiver<bool>,
}

/// The Services of type LoadBalancer, and what some of them were given.
pub(super) struct Giving {
    balancers: Balancers,
    pools: Vec<AddressRange>,
    ears: Ears,
    /// As they were watched.
    services: BTreeMap<NamespacedName, Service>,
    unsure: Unsure,
    told: Told,
    /// The Lease was held when this was last looked at.
    held: bool,
    /// When to look at all of them.
    look_at: Option<Instant>,
    looked_at: Option<Instant>,
    /// Who seemed to wait then: changes of other kinds are no reason to look again.
    looked_for: Gifts,
}

impl Giving {
    /// Nothing is known.
    pub(super) fn new(renewed: Arc<Renewed>, pools: Vec<AddressRange>, ears: Ears) -> Self {
        Self {
            balancers: Balancers::new(renewed),
            pools,
            ears,
            services: BTreeMap::new(),
            unsure: Unsure::default(),
            told: Told::default(),
            held: false,
            look_at: None,
            looked_at: None,
            looked_for: Gifts::new(),
        }
    }

    /// Gives until it is stopped, or nobody tells it anything any more.
    pub(super) async fn run(mut self) {
        while !*self.ears.stop.borrow() {
            let now = Instant::now();
            let until = self.until(now);
            if until.is_some() && !self.held {
                // What others gave meanwhile.
                self.look_at = Some(now);
            }
            self.held = until.is_some();
            if let Some(until) = until
                && self.look_at.is_some_and(|at| at <= now)
            {
                self.look(until).await;
                continue;
            }
            let look_at = self.look_at.filter(|_| until.is_some());
            let due = look_at.or(until).unwrap_or(now + SLOWLY);
            tokio::select! {
                changes = self.ears.changes.recv() => match changes {
                    Some(changes) => self.change(changes),
                    None => return,
                },
                changed = self.ears.term.changed() => if changed.is_err() { return },
                changed = self.ears.stop.changed() => if changed.is_err() { return },
                () = sleep_until(due.into()) => {}
            }
        }
    }

    /// Until when the Lease is held.
    fn until(&self, now: Instant) -> Term {
        self.ears.term.borrow().filter(|until| now < *until)
    }

    /// These came, changed, or went.
    fn change(&mut self, mut changes: Changes) {
        while let Ok(more) = self.ears.changes.try_recv() {
            changes.extend(more);
        }
        for (name, service) in changes {
            match service {
                Some(service) => self.services.insert(name, service),
                None => self.services.remove(&name),
            };
        }
        if !self.held {
            // Who comes to hold the Lease looks at everything.
            return;
        }
        let givable = self.givable();
        if !givable.is_empty() && givable != self.looked_for {
            let now = Instant::now();
            let at = self.looked_at.map_or(now, |at| now.max(at + SOON));
            self.look_at = Some(self.look_at.map_or(at, |before| before.min(at)));
        }
        self.tell(&givable);
    }

    /// Who could be given what, as far as is watched.
    fn givable(&self) -> Gifts {
        give_balancers(&self.services, &self.pools, &Gifts::new())
    }

    /// Who goes without, as far as is watched.
    fn tell(&mut self, givable: &Gifts) {
        let unserved = unserved_balancers(&self.services, &self.pools, givable);
        self.told.unserved(&unserved);
    }

    /// Lists all, and gives addresses to those that wait.
    async fn look(&mut self, until: Instant) {
        let outcome = self.give(until).await;
        let givable = self.givable();
        let wait = match outcome {
            Ok(()) => (!givable.is_empty()).then_some(SLOWLY),
            Err(Unwritten::Conflict) => Some(SOON),
            Err(Unwritten::TooLate) => Some(AGAIN),
            Err(Unwritten::Refused(failure) | Unwritten::Unknown(failure)) => {
                self.told.failed(&failure);
                Some(AGAIN)
            }
        };
        let now = Instant::now();
        self.looked_at = Some(now);
        self.look_at = wait.map(|wait| now + wait);
        self.tell(&givable);
        self.looked_for = givable;
    }

    async fn give(&mut self, until: Instant) -> Result<(), Unwritten> {
        let listed = self.balancers.list(until).await?;
        self.told.strays(&listed, &self.pools);
        let gifts = decide::gifts(&listed, &self.pools, &mut self.unsure);
        // Renewals are one chain: a term that has ended does not go on.
        let mut until = until;
        let mut result = Ok(());
        for gift in gifts {
            let now = Instant::now();
            match self.until(now) {
                Some(current) if now < until => until = current,
                _ => return Err(Unwritten::TooLate),
            }
            if *self.ears.stop.borrow() {
                return Err(Unwritten::TooLate);
            }
            result = result.and(self.write(gift, until).await);
        }
        result
    }

    async fn write(&mut self, gift: Gift, until: Instant) -> Result<(), Unwritten> {
        tracing::info!(service = %gift.service, addresses = %gift.shown(), "giving");
        let written = self.balancers.write(&gift, until).await;
        match &written {
            // It may still arrive.
            Err(Unwritten::Unknown(_)) => self.unsure.remember(gift),
            _ => self.unsure.forget(&gift.service),
        }
        if written.is_ok() {
            self.told.succeeded();
        }
        written
    }
}

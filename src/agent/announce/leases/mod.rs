//! The Leases of a cluster's API: seen, taken, renewed and let go of, for the Services that this
//! node would do for.
//!
//! Runs where the API server is reached from. Says which Services are this node's; must not know
//! what is done for them, nor when it wants them ([`crate::announce::lease`] decides about each).

mod object;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, DeleteParams, ListParams, PostParams, Preconditions};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::announce::{HeldLease, LeaseRecord, LeaseStep, LeaseTiming, LeaseWish, Tenure};
use crate::model::NamespacedName;
use crate::model::allocate::stable_hash;
use crate::source::kubernetes::ApiAccess;
use crate::source::kubernetes::client::{AskError, Renewed};
use crate::source::with_causes;
use object::{MANAGED_BY, lease, record};

/// What this node wants, by Service. One that is not named is none of its business.
pub(super) type Wishes = BTreeMap<NamespacedName, LeaseWish>;
/// What this node may do by the Leases of these Services, and until when; `None`: nothing any more.
pub(super) type Tenures = BTreeMap<NamespacedName, Option<Tenure>>;
/// Takes what changed, renewals included.
pub(super) type Tell = Box<dyn Fn(Tenures) + Send>;

/// How Leases are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseOptions {
    /// The API server, and who asks.
    pub access: ApiAccess,
    /// `--announce-lease-namespace`: where Leases are.
    pub namespace: Arc<str>,
    /// How long they last.
    pub timing: LeaseTiming,
}

/// One Lease and what is under way about it.
struct Entry {
    lease: HeldLease,
    busy: bool,
    /// When the last write was begun or ended: a list from before that says nothing of it.
    written_at: Option<Instant>,
    /// Not to be written before.
    not_before: Instant,
    /// When a Lease that is free is to be taken. Nodes are not equally quick, so that Services
    /// spread over them.
    take_at: Option<Instant>,
}

enum Done {
    Listed(Instant, Result<Vec<Lease>, String>),
    Wrote {
        service: NamespacedName,
        step: LeaseStep,
        began: Instant,
        result: Result<Option<LeaseRecord>, Refusal>,
    },
}

enum Refusal {
    /// Another node was quicker.
    Conflict,
    Failed(String),
}

/// The keeper of Leases.
pub(super) struct Leases {
    options: LeaseOptions,
    node: Arc<str>,
    renewed: Arc<Renewed>,
    wishes: watch::Receiver<Wishes>,
    tell: Tell,
    told: BTreeMap<NamespacedName, Tenure>,
    entries: BTreeMap<NamespacedName, Entry>,
    jobs: JoinSet<Done>,
    listing: bool,
    listed: bool,
    list_at: Instant,
    /// The last failure, so that the same is told once.
    failure: Option<String>,
}

impl Leases {
    /// A keeper that knows nothing yet.
    pub(super) fn new(
        options: LeaseOptions,
        node: Arc<str>,
        renewed: Arc<Renewed>,
        wishes: watch::Receiver<Wishes>,
        tell: Tell,
    ) -> Self {
        Self {
            options,
            node,
            renewed,
            wishes,
            tell,
            told: BTreeMap::new(),
            entries: BTreeMap::new(),
            jobs: JoinSet::new(),
            listing: false,
            listed: false,
            list_at: Instant::now(),
            failure: None,
        }
    }

    /// Keeps Leases until nobody has wishes any more.
    pub(super) async fn run(mut self) {
        loop {
            let now = Instant::now();
            self.begin(now);
            self.tell(now);
            let due = self.due(now);
            tokio::select! {
                changed = self.wishes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
                Some(done) = self.jobs.join_next(), if !self.jobs.is_empty() => {
                    match done {
                        Ok(done) => self.done(done, Instant::now()),
                        Err(error) => tracing::error!(%error, "a request for a Lease"),
                    }
                }
                () = sleep_until(due.into()) => {}
            }
        }
    }

    /// Begins whatever is to be done now.
    fn begin(&mut self, now: Instant) {
        let wishes = self.wishes.borrow_and_update().clone();
        for service in wishes.keys() {
            if !self.entries.contains_key(service) {
                let entry = self.entry(now);
                self.entries.insert(service.clone(), entry);
                // Whose it is must be known first.
                self.list_at = self.list_at.min(now);
                self.listed = false;
            }
        }
        let open = |entry: &Entry| !entry.lease.is_held(now);
        let curious = !self.listed || self.entries.values().any(open);
        if curious && !self.listing && self.list_at <= now {
            self.list(now);
        }
        if !self.listed {
            return;
        }
        let mut writes = Vec::new();
        for (service, entry) in &mut self.entries {
            let wish = wishes.get(service).copied().unwrap_or(LeaseWish::Gone);
            let Some(step) = entry.lease.step(wish, now) else {
                entry.take_at = None;
                continue;
            };
            let takes = !matches!(step, LeaseStep::Release | LeaseStep::Delete)
                && entry.lease.record().and_then(|r| r.holder.as_ref()) != Some(&self.node);
            if takes {
                let delay = delay(service, &self.node, self.options.timing);
                let at = *entry.take_at.get_or_insert(now + delay);
                if now < at {
                    continue;
                }
            }
            if !entry.busy && entry.not_before <= now {
                entry.busy = true;
                writes.push((service.clone(), step, entry.lease.record().cloned()));
            }
        }
        for (service, step, record) in writes {
            self.write(service, step, record.unwrap_or_default(), now);
        }
        let needless = |service: &NamespacedName, entry: &Entry| {
            !wishes.contains_key(service) && !entry.busy && entry.lease.tenure(now).is_none()
        };
        self.entries
            .retain(|service, entry| !needless(service, entry));
    }

    fn entry(&self, now: Instant) -> Entry {
        Entry {
            lease: HeldLease::new(Arc::clone(&self.node), self.options.timing, now),
            busy: false,
            written_at: None,
            not_before: now,
            take_at: None,
        }
    }

    fn due(&self, now: Instant) -> Instant {
        let retry = self.options.timing.retry();
        let dues = self.entries.values().flat_map(|entry| {
            let written = (!entry.busy).then_some(entry.not_before);
            [Some(entry.lease.due(now)), written, entry.take_at]
        });
        let all = dues.flatten().chain([self.list_at]);
        all.filter(|at| *at > now).min().unwrap_or(now + retry)
    }

    /// Tells what this node may do, where that is something else than before.
    fn tell(&mut self, now: Instant) {
        let mut changes = Tenures::new();
        for (service, entry) in &self.entries {
            let tenure = entry.lease.tenure(now);
            if self.told.get(service) != tenure.as_ref() {
                changes.insert(service.clone(), tenure);
            }
        }
        let gone = self.told.keys();
        let gone = gone.filter(|service| !self.entries.contains_key(*service));
        changes.extend(gone.map(|service| (service.clone(), None)));
        if changes.is_empty() {
            return;
        }
        for (service, tenure) in &changes {
            match tenure {
                Some(tenure) => self.told.insert(service.clone(), *tenure),
                None => self.told.remove(service),
            };
        }
        (self.tell)(changes);
    }

    fn list(&mut self, now: Instant) {
        self.listing = true;
        let lingering = self
            .entries
            .values()
            .filter_map(|entry| entry.lease.tenure(now))
            .any(|tenure| tenure.held_until.is_none());
        let retry = self.options.timing.retry();
        // Who waits to be relieved looks more often.
        let period = if lingering { retry / 8 } else { retry };
        self.list_at = now + period.mul_f64(0.9 + 0.2 * fastrand::f64());
        let (renewed, namespace) = self.api();
        let patience = self.options.timing.deadline() / 2;
        self.jobs.spawn(async move {
            let labels = ListParams::default().labels(MANAGED_BY);
            let request = async |client| {
                let api: Api<Lease> = Api::namespaced(client, &namespace);
                api.list(&labels).await
            };
            let result = renewed.ask(patience, request).await;
            let items = result.map(|list| list.items);
            Done::Listed(now, items.map_err(|error| with_causes(&error)))
        });
    }

    fn api(&self) -> (Arc<Renewed>, Arc<str>) {
        (
            Arc::clone(&self.renewed),
            Arc::clone(&self.options.namespace),
        )
    }

    fn write(&mut self, service: NamespacedName, step: LeaseStep, old: LeaseRecord, now: Instant) {
        let (renewed, namespace) = self.api();
        let object = lease(
            &service,
            &namespace,
            step,
            &old,
            &self.node,
            self.options.timing,
        );
        let patience = self.options.timing.deadline() / 2;
        self.jobs.spawn(async move {
            let name = object.metadata.name.clone().unwrap_or_default();
            let params = PostParams::default();
            let request = async |client| {
                let api: Api<Lease> = Api::namespaced(client, &namespace);
                match step {
                    LeaseStep::Create => api.create(&params, &object).await.map(Some),
                    LeaseStep::Hold | LeaseStep::Release => {
                        api.replace(&name, &params, &object).await.map(Some)
                    }
                    LeaseStep::Delete => {
                        let only = Preconditions {
                            resource_version: Some(old.version.clone()),
                            uid: None,
                        };
                        let params = DeleteParams::default().preconditions(only);
                        api.delete(&name, &params).await.map(|_| None)
                    }
                }
            };
            let result = match renewed.ask(patience, request).await {
                Ok(object) => Ok(object.and_then(record).map(|(_, record)| record)),
                Err(AskError::Api(kube::Error::Api(status)))
                    if matches!(status.code, 404 | 409) =>
                {
                    Err(Refusal::Conflict)
                }
                Err(error) => Err(Refusal::Failed(with_causes(&error))),
            };
            Done::Wrote {
                service,
                step,
                began: now,
                result,
            }
        });
    }

    fn done(&mut self, done: Done, now: Instant) {
        match done {
            Done::Listed(began, result) => {
                self.listing = false;
                match result {
                    Ok(leases) => self.saw(leases, began, now),
                    Err(failure) => self.failed(failure),
                }
            }
            Done::Wrote {
                service,
                step,
                began,
                result,
            } => self.wrote(&service, step, began, result, now),
        }
    }

    fn saw(&mut self, leases: Vec<Lease>, began: Instant, now: Instant) {
        self.failure = None;
        self.listed = true;
        let leases: BTreeMap<_, _> = leases.into_iter().filter_map(record).collect();
        for (service, entry) in &mut self.entries {
            if !entry.busy && entry.written_at.is_none_or(|written| written < began) {
                entry.lease.saw(leases.get(service).cloned(), now);
            }
        }
    }

    fn wrote(
        &mut self,
        service: &NamespacedName,
        step: LeaseStep,
        began: Instant,
        result: Result<Option<LeaseRecord>, Refusal>,
        now: Instant,
    ) {
        let retry = self.options.timing.retry();
        let Some(entry) = self.entries.get_mut(service) else {
            return;
        };
        entry.busy = false;
        entry.written_at = Some(now);
        match result {
            Ok(record) => {
                entry.lease.wrote(step, record, began);
                if step == LeaseStep::Release {
                    self.list_at = now;
                }
            }
            Err(Refusal::Conflict) => {
                // Not before it is known what is there.
                entry.written_at = None;
                entry.not_before = now + retry / 4;
                self.list_at = self.list_at.min(now + retry / 8);
            }
            Err(Refusal::Failed(failure)) => {
                entry.not_before = now + retry;
                self.failed(failure);
            }
        }
    }

    fn failed(&mut self, failure: String) {
        if self.failure.as_ref() != Some(&failure) {
            let namespace = &self.options.namespace;
            tracing::warn!("Leases in namespace {namespace} cannot be kept: {failure}");
            self.failure = Some(failure);
        }
    }
}

/// How long this node waits before it takes a free Lease: up to half of the time between two
/// tries, another for each Service.
fn delay(service: &NamespacedName, node: &str, timing: LeaseTiming) -> Duration {
    let share = stable_hash(&format!("{service} {node}")) % 1000;
    timing.retry() / 2 * u32::try_from(share).unwrap_or(0) / 1000
}

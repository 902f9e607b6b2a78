//! The state machine of the loop: what came in, what waits, what is due.
//!
//! States are the fields: work that waits (or none), a time before which it may not begin, a
//! refusal of the manifests that is in force (or none). Every method is one transition, takes the
//! time as a value and never waits: `serve` drives it.

use std::time::{Duration, Instant};

use super::announcements;
use super::observers::Observers;
use super::programmer::{Foreign, ProgramError, Programmed, Programmer, Resync};
use super::source::Source;
use super::work::{Pace, Work};
use crate::agent::cluster::LoadError;
use crate::agent::repair::{self, Damper};
use crate::model::{Snapshot, SnapshotDelta};
use crate::source::changes::Changes;
use crate::source::kubernetes::Batch;
use crate::source::kubernetes::live::News;
use crate::source::watch::WatchList;
use crate::source::with_causes;

/// How long a state directory that cannot be written is left alone.
const REREAD: Duration = Duration::from_secs(5);
/// How often ports that could not be bound are tried again: kube-proxy's period.
const REBIND: Duration = Duration::from_secs(5);

/// How often the loop does what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Periods {
    /// Least time from the end of one sync to the start of the next.
    pub min_sync: Duration,
    /// Most time until a failed sync is tried again; how often the kernel is asked whether it
    /// still holds what it should; half of the time after which waiting work means ill health.
    pub sync: Duration,
}

/// Keeps the kernel and the snapshot together.
pub(super) struct Keeper {
    programmer: Box<dyn Programmer>,
    source: Box<dyn Source>,
    snapshot: Snapshot,
    observers: Observers,
    periods: Periods,
    work: Work,
    pace: Pace,
    damper: Damper,
    /// The last failure of programming, so that the same one is told once.
    failure: Option<String>,
    /// The manifests are refused as they are now.
    refused: bool,
    reread_at: Option<Instant>,
    rebind_at: Option<Instant>,
    check_at: Instant,
}

impl Keeper {
    /// Programs the first load. From then on the kernel and the snapshot are kept together. What
    /// the kernel refuses of it is work that failed, as later.
    pub(super) fn start(
        mut programmer: Box<dyn Programmer>,
        mut source: Box<dyn Source>,
        snapshot: Snapshot,
        mut observers: Observers,
        periods: Periods,
    ) -> Result<Self, ProgramError> {
        for note in source.notes() {
            tracing::warn!("{note}");
        }
        let started = Instant::now();
        observers.queued(&Work::default(), started);
        let (done, refused) = match programmer.start(&snapshot) {
            Ok(done) => (done, None),
            Err(error) if error.is_partial() => {
                let full = Programmed {
                    full: true,
                    ..Programmed::default()
                };
                (full, Some(error))
            }
            Err(error) => return Err(error),
        };
        let elapsed = started.elapsed();
        observers.started(&snapshot, &done, elapsed);
        let now = Instant::now();
        let mut pace = Pace::new(periods.min_sync, periods.sync);
        pace.succeeded(now);
        let mut keeper = Self {
            programmer,
            source,
            snapshot,
            observers,
            periods,
            work: Work::default(),
            pace,
            damper: Damper::default(),
            failure: None,
            refused: false,
            reread_at: None,
            rebind_at: None,
            check_at: now + periods.sync,
        };
        if let Some(error) = refused {
            keeper.failed(&error, elapsed, now);
        }
        keeper.rebind_later(now);
        keeper.listen(now);
        Ok(keeper)
    }

    /// Makes known in the cluster that the first load is in the kernel.
    pub(super) fn announce_start(&self, mode: &str) {
        let services = self.snapshot.services.len();
        self.observers
            .announce(announcements::started(mode, services));
    }

    /// What the kernel is held to.
    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The programmer, to wait for what it listens to.
    pub(super) fn programmer(&mut self) -> &mut dyn Programmer {
        self.programmer.as_mut()
    }

    /// What is to be watched now.
    pub(super) fn watch_list(&mut self) -> &WatchList {
        self.source.watch_list()
    }

    /// Files changed; they were seen to at `seen`.
    pub(super) fn files_changed(&mut self, changes: &Changes, seen: Instant, now: Instant) {
        self.reread_at = None;
        let outcome = self.source.changed(changes, &self.snapshot);
        for note in self.source.notes() {
            tracing::warn!("{note}");
        }
        match outcome {
            Ok(delta) => {
                self.in_force_again();
                if delta.is_empty() {
                    return;
                }
                self.adopt(delta, Some(seen), now);
            }
            Err(error) => self.refuse(&error, now),
        }
    }

    /// The watches of the API brought something.
    pub(super) fn received(&mut self, batch: Batch, now: Instant) {
        let News { delta, triggers } = self.source.received(batch, &self.snapshot);
        if delta.is_empty() {
            return;
        }
        self.work.triggers.extend(triggers);
        self.adopt(delta, None, now);
    }

    /// From now on the kernel is to hold this.
    fn adopt(&mut self, delta: SnapshotDelta, seen: Option<Instant>, now: Instant) {
        self.observers.changing(&self.snapshot, &delta);
        self.work.add(&delta, seen);
        self.snapshot.apply(delta);
        self.observers.queued(&self.work, now);
    }

    fn refuse(&mut self, error: &LoadError, now: Instant) {
        let mistakes = match error {
            LoadError::Manifests(errors) => errors.errors.len() + errors.omitted,
            LoadError::Allocation { errors, .. } => errors.len(),
            LoadError::State(_) => {
                self.reread_at = Some(now + REREAD);
                1
            }
        };
        self.refused = true;
        self.observers.metrics.manifest_errors(mistakes);
        for line in with_causes(error).lines() {
            tracing::warn!("{line}");
        }
        tracing::warn!(mistakes, "the manifests before stay in force");
    }

    /// An empty delta is no proof: the same refusal is told once.
    fn in_force_again(&mut self) {
        if self.refused && self.source.failing().is_none() {
            self.refused = false;
            self.observers.metrics.manifest_errors(0);
            tracing::info!("the manifests are in force again");
        }
    }

    /// The user asks for everything to be looked at again: manifests and kernel.
    pub(super) fn asked_again(&mut self, now: Instant) {
        tracing::info!("reading everything again");
        self.work.resync(Resync::Asked);
        self.files_changed(&Changes::everything(), now, now);
        self.observers.queued(&self.work, now);
    }

    /// The programmer heard something of other programs.
    pub(super) fn listen(&mut self, now: Instant) {
        match self.programmer.listen() {
            Ok(heard) if heard.is_empty() => {}
            Ok(heard) => self.damaged(heard, now),
            Err(error) => tracing::warn!(
                "cannot hear what other programs do: {}; asking every {:?} instead",
                with_causes(&error),
                self.periods.sync
            ),
        }
    }

    fn damaged(&mut self, heard: Vec<Foreign>, now: Instant) {
        let news = self.damper.heard(now);
        let storm = self.damper.is_storm(now);
        if news {
            let what = repair::together(heard.iter().map(|foreign| &*foreign.text));
            if storm {
                self.observers.announce(announcements::contested());
                tracing::warn!(
                    "{what}; other programs keep changing what is ours, repairing less often"
                );
            } else {
                tracing::warn!("{what}");
            }
            self.work.told = self.work.foreign.len() + heard.len();
        }
        self.work.foreign.extend(heard);
        self.work.resync(Resync::Foreign);
        self.observers.queued(&self.work, now);
    }

    /// Does what is due.
    pub(super) fn step(&mut self, now: Instant) {
        if self.reread_at.is_some_and(|at| at <= now) {
            self.files_changed(&Changes::default(), now, now);
        }
        if self.rebind_at.is_some_and(|at| at <= now) {
            self.observers.rebind();
            self.rebind_later(now);
        }
        if self.check_at <= now {
            self.check(now);
        }
        if self
            .begins_at()
            .is_some_and(|at| at.is_none_or(|at| at <= now))
        {
            self.program(now);
        }
    }

    /// When [`step`](Self::step) has something to do next; a moment in the past for at once.
    pub(super) fn due(&self, now: Instant) -> Instant {
        let programming = self.begins_at().map(|at| at.unwrap_or(now));
        [programming, self.reread_at, self.rebind_at]
            .into_iter()
            .flatten()
            .fold(self.check_at, Instant::min)
    }

    /// When programming may begin: `None` if nothing waits, `Some(None)` for at once.
    fn begins_at(&self) -> Option<Option<Instant>> {
        if self.work.is_empty() {
            return None;
        }
        let earliest = self.pace.earliest(self.work.resync.is_some());
        // Repairs are damped; other work does not wait for them to be due, and takes them along.
        let only_repair = self.work.touched.is_empty();
        let damped = self.damper.due().filter(|_| only_repair);
        Some(earliest.max(damped))
    }

    fn check(&mut self, now: Instant) {
        self.check_at = now + self.periods.sync;
        match self.programmer.disturbed() {
            Ok(false) => {}
            Ok(true) => {
                self.work.resync(Resync::Disturbed);
                self.observers.queued(&self.work, now);
            }
            Err(error) => tracing::warn!("cannot ask the kernel: {}", with_causes(&error)),
        }
    }

    fn program(&mut self, now: Instant) {
        if self.work.resync == Some(Resync::Foreign) {
            self.damper.begin(now);
        }
        self.observers.programming(&self.snapshot);
        let started = Instant::now();
        let outcome = match self.work.resync {
            Some(why) => self.programmer.resync(&self.snapshot, why),
            None => self.programmer.update(&self.snapshot, &self.work.touched),
        };
        let elapsed = started.elapsed();
        match outcome {
            Ok(done) => self.programmed(&done, elapsed, now + elapsed),
            Err(error) => self.failed(&error, elapsed, now + elapsed),
        }
        // What was not heard while the programmer was at it makes nothing readable.
        self.listen(now + elapsed);
    }

    fn programmed(&mut self, done: &Programmed, elapsed: Duration, now: Instant) {
        let work = std::mem::take(&mut self.work);
        self.pace.succeeded(now);
        if self.failure.take().is_some() {
            tracing::info!("programming succeeded again");
            self.observers.announce(announcements::succeeded());
        }
        log(&work, done, elapsed);
        self.observers
            .programmed(&self.snapshot, &work, done, elapsed, now);
        self.rebind_later(now);
    }

    fn failed(&mut self, error: &ProgramError, elapsed: Duration, now: Instant) {
        self.observers
            .metrics
            .failed(self.work.resync.is_some(), elapsed);
        if self.work.resync == Some(Resync::Foreign) {
            self.damper.failed(now);
        }
        self.work.resync(Resync::AfterFailure);
        self.pace.failed(now);
        let text = with_causes(error);
        if self.failure.as_ref() == Some(&text) {
            tracing::debug!("{text}");
        } else {
            tracing::warn!("{text}; trying again");
            self.observers.announce(announcements::failed(&text));
            self.failure = Some(text);
        }
    }

    fn rebind_later(&mut self, now: Instant) {
        self.rebind_at = self.observers.unbound().then(|| now + REBIND);
    }

    /// Hands over to other nodes what this one announces. Its rules stay in force.
    pub(super) fn hand_over(&mut self) {
        if let Some(addresses) = self.observers.addresses.take() {
            addresses.leave();
        }
    }

    /// See [`Observers::drain`].
    pub(super) fn drain(&mut self) {
        self.observers.drain();
    }

    /// Removes from the kernel what is ours.
    pub(super) fn cleanup(&mut self) -> Result<Programmed, ProgramError> {
        let outcome = self.programmer.cleanup();
        if outcome.is_err() {
            self.observers.metrics.cleanup_failed();
        }
        outcome
    }
}

/// One line a batch, none a Service.
fn log(work: &Work, done: &Programmed, elapsed: Duration) {
    let why = work.resync.map_or("changed", Resync::as_str);
    let milliseconds = (elapsed.as_secs_f64() * 1e6).round() / 1e3;
    let Programmed {
        transactions,
        messages,
        bytes,
        ..
    } = done;
    let services = work.touched.services.len();
    if work.foreign.is_empty() {
        tracing::debug!(
            why,
            services,
            transactions,
            messages,
            bytes,
            milliseconds,
            "programmed"
        );
    } else {
        let untold = work.foreign.get(work.told..).unwrap_or_default();
        if !untold.is_empty() {
            let what = repair::together(untold.iter().map(|foreign| &*foreign.text));
            tracing::warn!("meanwhile {what}");
        }
        tracing::warn!(
            services,
            transactions,
            messages,
            bytes,
            milliseconds,
            "repaired"
        );
    }
}

#[cfg(test)]
mod tests;

//! One Lease, as a node sees it: whose it is, and what this node is to do about it.
//!
//! The rules are those of client-go's leader election: who holds a Lease renews it; who does not
//! takes it when it is free, or when it was not renewed for as long as it says, by this node's own
//! clock. Writes name the version they were made for, so that of two nodes one succeeds.

use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a Lease lasts, and what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTiming {
    /// Others take a Lease that was not renewed for so long.
    pub duration: Duration,
}

impl LeaseTiming {
    /// Who could not renew for so long gives up, well before others may take it.
    #[must_use]
    pub fn deadline(self) -> Duration {
        self.duration * 2 / 3
    }

    /// Between two renewals, and two looks at the Leases of others. With the usual 15 s this is
    /// the 2 s of client-go.
    #[must_use]
    pub fn retry(self) -> Duration {
        self.duration * 2 / 15
    }
}

/// A Lease as the API server has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseRecord {
    /// `spec.holderIdentity`; none if it is free.
    pub holder: Option<Arc<str>>,
    /// `spec.leaseDurationSeconds`.
    pub duration: Duration,
    /// `spec.leaseTransitions`: how often it went from one to another.
    pub transitions: i32,
    /// `metadata.resourceVersion`: another one with every renewal.
    pub version: String,
    /// `spec.acquireTime`: since when it is its holder's. For people.
    pub acquired: Option<jiff::Timestamp>,
}

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseStep {
    /// There is none: make it, and hold it.
    Create,
    /// Hold it, for the first time or still.
    Hold,
    /// Let others have it.
    Release,
    /// Nobody needs it any more.
    Delete,
}

/// What this node wants of a Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseWish {
    /// To hold it, or to take it when that may be.
    Hold,
    /// That others hold it.
    Leave,
    /// That it is no more: nobody asks for what it is about.
    Gone,
}

/// What a node may do by a Lease that is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// It alone holds it until then; none if it has released it.
    pub held_until: Option<Instant>,
    /// It answers until then. Who has released a Lease serves clients until another has it, or
    /// until it is clear that nobody will.
    pub answered_until: Instant,
}

/// One Lease.
#[derive(Debug)]
pub struct HeldLease {
    own: Arc<str>,
    timing: LeaseTiming,
    seen: Option<LeaseRecord>,
    /// When the record was first seen as it is.
    seen_at: Instant,
    /// When the request was sent that made or kept it ours.
    renewed_at: Option<Instant>,
    released_at: Option<Instant>,
}

impl HeldLease {
    /// Nothing is known of it.
    #[must_use]
    pub fn new(own: Arc<str>, timing: LeaseTiming, now: Instant) -> Self {
        Self {
            own,
            timing,
            seen: None,
            seen_at: now,
            renewed_at: None,
            released_at: None,
        }
    }

    /// The API server has it like this, or has none.
    pub fn saw(&mut self, record: Option<LeaseRecord>, now: Instant) {
        if record == self.seen {
            return;
        }
        if record.as_ref().and_then(|r| r.holder.as_ref()) != Some(&self.own) {
            self.renewed_at = None;
        }
        if record
            .as_ref()
            .is_some_and(|record| record.holder.is_some())
        {
            // Who took it answers, or we do again.
            self.released_at = None;
        }
        self.seen = record;
        self.seen_at = now;
    }

    /// A step that was begun at this time has succeeded, and this is the Lease now.
    pub fn wrote(&mut self, step: LeaseStep, record: Option<LeaseRecord>, began: Instant) {
        self.saw(record, began);
        match step {
            LeaseStep::Create | LeaseStep::Hold => self.renewed_at = Some(began),
            LeaseStep::Release => self.released_at = Some(began),
            LeaseStep::Delete => {}
        }
    }

    /// What is known of it.
    #[must_use]
    pub fn record(&self) -> Option<&LeaseRecord> {
        self.seen.as_ref()
    }

    /// It is ours, beyond doubt.
    #[must_use]
    pub fn is_held(&self, now: Instant) -> bool {
        self.held_until().is_some_and(|until| now < until)
    }

    fn held_until(&self) -> Option<Instant> {
        Some(self.renewed_at? + self.timing.deadline())
    }

    fn lingers_until(&self) -> Option<Instant> {
        Some(self.released_at? + self.timing.retry() * 2)
    }

    /// What this node may do by it, and until when without another word from the API server; `None`
    /// if nothing.
    #[must_use]
    pub fn tenure(&self, now: Instant) -> Option<Tenure> {
        let ahead = |until: &Instant| now < *until;
        let held_until = self.held_until().filter(ahead);
        let lingers_until = self.lingers_until().filter(ahead);
        Some(Tenure {
            held_until,
            answered_until: held_until.max(lingers_until)?,
        })
    }

    /// What to write now.
    #[must_use]
    pub fn step(&self, wish: LeaseWish, now: Instant) -> Option<LeaseStep> {
        let Some(record) = &self.seen else {
            return (wish == LeaseWish::Hold).then_some(LeaseStep::Create);
        };
        let ours = record.holder.as_ref() == Some(&self.own);
        match wish {
            LeaseWish::Hold => {}
            LeaseWish::Leave => return ours.then_some(LeaseStep::Release),
            LeaseWish::Gone => return ours.then_some(LeaseStep::Delete),
        }
        if ours {
            let due = |renewed| renewed + self.timing.retry() <= now;
            return self.renewed_at.is_none_or(due).then_some(LeaseStep::Hold);
        }
        let free = record.holder.is_none() || self.seen_at + record.duration <= now;
        free.then_some(LeaseStep::Hold)
    }

    /// When that may be another step without anything having been seen.
    #[must_use]
    pub fn due(&self, now: Instant) -> Instant {
        let renewal = self.renewed_at.map(|at| at + self.timing.retry());
        let giving_up = self.held_until();
        let lingering = self.lingers_until();
        let expiry = self
            .seen
            .as_ref()
            .filter(|record| record.holder.is_some())
            .map(|record| self.seen_at + record.duration);
        let all = [renewal, giving_up, lingering, expiry]
            .into_iter()
            .flatten();
        all.filter(|at| *at > now)
            .min()
            .unwrap_or(now + self.timing.retry())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: LeaseTiming = LeaseTiming {
        duration: Duration::from_secs(15),
    };

    fn record(holder: Option<&str>, version: u32) -> LeaseRecord {
        LeaseRecord {
            holder: holder.map(Into::into),
            duration: TIMING.duration,
            transitions: 0,
            version: version.to_string(),
            acquired: None,
        }
    }

    fn lease(now: Instant) -> HeldLease {
        HeldLease::new("n1".into(), TIMING, now)
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn what_is_not_there_is_made_and_renewed_in_time() {
        let start = Instant::now();
        let mut lease = lease(start);
        assert_eq!(lease.step(LeaseWish::Leave, start), None);
        assert_eq!(lease.step(LeaseWish::Hold, start), Some(LeaseStep::Create));
        lease.wrote(LeaseStep::Create, Some(record(Some("n1"), 1)), start);
        assert!(lease.is_held(start));
        assert_eq!(lease.step(LeaseWish::Hold, start + seconds(1)), None);
        assert_eq!(
            lease.step(LeaseWish::Hold, start + seconds(2)),
            Some(LeaseStep::Hold)
        );
        assert!(lease.is_held(start + seconds(9)));
        let tenure = lease.tenure(start + seconds(9)).unwrap();
        assert_eq!(tenure.held_until, Some(start + seconds(10)));
        assert_eq!(tenure.answered_until, start + seconds(10));
        assert!(
            !lease.is_held(start + seconds(10)),
            "renewing fails for too long"
        );
        assert!(lease.tenure(start + seconds(10)).is_none());
    }

    #[test]
    fn another_nodes_is_taken_when_it_was_silent_for_as_long_as_it_says() {
        let start = Instant::now();
        let mut lease = lease(start);
        lease.saw(Some(record(Some("n2"), 1)), start);
        assert_eq!(lease.step(LeaseWish::Hold, start + seconds(14)), None);
        lease.saw(Some(record(Some("n2"), 2)), start + seconds(14));
        assert_eq!(
            lease.step(LeaseWish::Hold, start + seconds(28)),
            None,
            "it was renewed"
        );
        lease.saw(Some(record(Some("n2"), 2)), start + seconds(28));
        let late = start + seconds(29);
        assert_eq!(lease.step(LeaseWish::Hold, late), Some(LeaseStep::Hold));
        assert!(lease.tenure(late).is_none(), "not before it is written");
    }

    #[test]
    fn a_released_one_is_answered_for_until_somebody_has_it() {
        let start = Instant::now();
        let mut lease = lease(start);
        lease.wrote(LeaseStep::Hold, Some(record(Some("n1"), 1)), start);
        assert_eq!(
            lease.step(LeaseWish::Leave, start),
            Some(LeaseStep::Release)
        );
        lease.wrote(LeaseStep::Release, Some(record(None, 2)), start);
        assert!(!lease.is_held(start));
        let lingering = Tenure {
            held_until: None,
            answered_until: start + seconds(4),
        };
        assert_eq!(lease.tenure(start + seconds(3)), Some(lingering));
        assert!(
            lease.tenure(start + seconds(4)).is_none(),
            "nobody wants it"
        );
        lease.saw(Some(record(Some("n2"), 3)), start + seconds(1));
        assert!(lease.tenure(start + seconds(1)).is_none());
        assert_eq!(lease.step(LeaseWish::Leave, start + seconds(1)), None);
    }

    #[test]
    fn one_that_was_lost_is_not_ours_and_one_of_an_earlier_process_is() {
        let start = Instant::now();
        let mut lease = lease(start);
        lease.wrote(LeaseStep::Hold, Some(record(Some("n1"), 1)), start);
        lease.saw(Some(record(Some("n2"), 2)), start + seconds(1));
        assert!(!lease.is_held(start + seconds(1)));
        let mut again = HeldLease::new("n1".into(), TIMING, start);
        again.saw(Some(record(Some("n1"), 1)), start);
        assert!(!again.is_held(start), "not before it is written");
        assert_eq!(again.step(LeaseWish::Hold, start), Some(LeaseStep::Hold));
    }
}

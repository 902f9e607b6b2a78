//! What waits to be programmed, and when it may be.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::programmer::{Foreign, Resync};
use crate::agent::metrics::Pending;
use crate::model::{SnapshotDelta, Touched};

/// The first retry of what failed; each further one waits twice as long.
const FIRST_RETRY: Duration = Duration::from_millis(100);

/// Everything that changed since the kernel was last programmed.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// What the snapshot changed in.
    pub touched: Touched,
    /// How many changes that were.
    pub pending: Pending,
    /// When the oldest of them was seen; of changes of manifests only.
    pub since: Option<Instant>,
    /// When changes of endpoints happened, by the API's own account.
    pub triggers: Vec<Timestamp>,
    /// Everything is to be compared, for this reason.
    pub resync: Option<Resync>,
    /// What others did.
    pub foreign: Vec<Foreign>,
    /// How many of these, from the first on, are in the log.
    pub told: usize,
}

impl Work {
    pub(super) fn is_empty(&self) -> bool {
        self.touched.is_empty() && self.resync.is_none()
    }

    /// Adds a change of the snapshot, and when it was seen where that is when it happened.
    pub(super) fn add(&mut self, delta: &SnapshotDelta, seen: Option<Instant>) {
        self.touched.extend(delta.touched());
        self.pending.services += delta.services.len();
        self.pending.endpoints += delta.slices.len();
        self.since = self.since.or(seen);
    }

    /// Asks for a comparison. The reasons of others' doing outlive those of our own.
    pub(super) fn resync(&mut self, why: Resync) {
        if self.resync != Some(Resync::Foreign) {
            self.resync = Some(why);
        }
    }
}

/// When programming may begin.
#[derive(Debug)]
pub(super) struct Pace {
    /// Least time from the end of one sync to the start of the next.
    min_period: Duration,
    /// Most time until a failed one is tried again.
    sync_period: Duration,
    ended: Option<Instant>,
    failures: u32,
}

impl Pace {
    pub(super) fn new(min_period: Duration, sync_period: Duration) -> Self {
        Self {
            min_period,
            sync_period,
            ended: None,
            failures: 0,
        }
    }

    pub(super) fn succeeded(&mut self, now: Instant) {
        self.ended = Some(now);
        self.failures = 0;
    }

    pub(super) fn failed(&mut self, now: Instant) {
        self.ended = Some(now);
        self.failures = self.failures.saturating_add(1);
    }

    /// The earliest moment for the next sync; `None` for at once. Urgent work does not keep the
    /// least period, but what fails is not tried in a tight loop either.
    pub(super) fn earliest(&self, urgent: bool) -> Option<Instant> {
        let pause = match self.failures {
            0 if urgent => return None,
            0 => self.min_period,
            failures => self.retry_after(failures),
        };
        Some(self.ended? + pause)
    }

    fn retry_after(&self, failures: u32) -> Duration {
        let factor = 1u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
        FIRST_RETRY
            .saturating_mul(factor)
            .min(self.sync_period)
            .max(self.min_period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_millis(50);
    const MAX: Duration = Duration::from_secs(30);

    #[test]
    fn a_lone_change_is_programmed_at_once_and_the_next_after_the_least_period() {
        let now = Instant::now();
        let mut pace = Pace::new(MIN, MAX);
        assert_eq!(pace.earliest(false), None);
        pace.succeeded(now);
        assert_eq!(pace.earliest(false), Some(now + MIN));
        assert_eq!(pace.earliest(true), None);
    }

    #[test]
    fn failures_are_tried_again_ever_later_until_the_sync_period() {
        let now = Instant::now();
        let mut pace = Pace::new(MIN, MAX);
        let mut waits = Vec::new();
        for _ in 0..40 {
            pace.failed(now);
            waits.push(pace.earliest(true).unwrap() - now);
        }
        let first: Vec<u128> = waits.iter().take(4).map(Duration::as_millis).collect();
        assert_eq!(first, [100, 200, 400, 800]);
        assert_eq!(waits.last(), Some(&MAX));
        pace.succeeded(now);
        assert_eq!(pace.earliest(true), None);
    }
}

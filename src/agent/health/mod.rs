//! Is the agent healthy, and the servers that say so.
//!
//! * this file: the facts, and kube-proxy's rule for them
//! * `body`: the JSON texts
//! * `server`: `/healthz` and `/livez`; `/metrics`, `/proxyMode` and `/configz`
//! * `listen`: sockets in another network namespace
//!
//! Must not look at the kernel or the manifests: the loop tells.

mod body;
pub mod listen;
pub mod server;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::model::IpFamily;
use crate::source::kubernetes::vital::Vital;

pub use body::{health_check_body, health_check_response};

/// Whether what is wanted gets into the kernel.
///
/// kube-proxy's rule: unhealthy is who has had something to program for longer than twice the
/// sync period. Mistakes in manifests are none of it: the rules in force go on working.
#[derive(Debug)]
pub struct Health {
    patience: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    families: Vec<IpFamily>,
    updated: Option<Timestamp>,
    pending: Option<Instant>,
    leaving: bool,
    watches: Option<Vital>,
}

/// What the health is at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Nothing has been waiting for too long.
    pub healthy: bool,
    /// The node is to have traffic from outside.
    pub eligible: bool,
    /// The families that were ever programmed.
    pub families: Vec<IpFamily>,
    /// When the kernel was last known to hold what is wanted.
    pub updated: Option<Timestamp>,
    /// The moment of the report.
    pub now: Timestamp,
    /// A watch of the Kubernetes API that is stuck.
    pub stuck: Option<&'static str>,
}

impl Health {
    /// Health that allows twice this period for a change to be programmed.
    #[must_use]
    pub fn new(sync_period: Duration) -> Self {
        Self {
            patience: sync_period.saturating_mul(2),
            state: Mutex::default(),
        }
    }

    /// Something is to be programmed since `now`; who waits already goes on waiting.
    pub fn queued(&self, now: Instant) {
        self.state().pending.get_or_insert(now);
    }

    /// The kernel holds what is wanted, in these families.
    pub fn updated(&self, families: &[IpFamily]) {
        let mut state = self.state();
        state.families = families.to_vec();
        state.updated = Some(Timestamp::now());
        state.pending = None;
    }

    /// Whether the node is being deleted, or the agent ends.
    pub fn leaving(&self, leaving: bool) {
        self.state().leaving = leaving;
    }

    /// The health at this moment.
    #[must_use]
    pub fn report(&self, now: Instant) -> Report {
        let state = self.state();
        let waited = state
            .pending
            .map(|since| now.saturating_duration_since(since));
        Report {
            healthy: waited.is_none_or(|waited| waited < self.patience),
            eligible: !state.leaving,
            families: state.families.clone(),
            updated: state.updated,
            now: Timestamp::now(),
            stuck: state.stuck(now),
        }
    }

    /// From now on the watches of the Kubernetes API count for being alive.
    pub fn watches(&self, vital: Vital) {
        self.state().watches = Some(vital);
    }

    /// The facts are plain values: one who panicked while holding them left nothing half done.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn stuck(&self, now: Instant) -> Option<&'static str> {
        Some(self.watches.as_ref()?.stuck(now)?.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_longer_than_two_sync_periods_is_unhealthy_until_it_is_programmed() {
        let health = Health::new(Duration::from_secs(30));
        let start = Instant::now();
        let healthy = |seconds| {
            let now = start + Duration::from_secs(seconds);
            health.report(now).healthy
        };
        assert!(healthy(1000), "nothing waits");
        health.queued(start);
        health.queued(start + Duration::from_secs(50));
        assert!(healthy(59));
        assert!(!healthy(60), "the oldest counts");
        health.updated(&IpFamily::ALL);
        assert!(healthy(1000));
    }
}

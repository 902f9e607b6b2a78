//! Signs of life of the watches: metrics, and whether one is stuck.
//!
//! Every byte that the server sends on a watch is a sign of life, bookmarks among them. A watch is
//! stuck if there is none for a time although the server can be reached: then something is wrong
//! here, and a restart may help. While nobody can reach the server a restart would help nobody,
//! and the rules in the kernel go on working.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use super::resource::Resource;

/// What is known of the watches. Shared between them, the loop and the health server.
#[derive(Clone)]
pub struct Vital {
    shared: Arc<Shared>,
}

struct Shared {
    start: Instant,
    limit: Duration,
    watches: [Watch; Resource::ALL.len()],
    reached: AtomicU64,
    metrics: SourceMetrics,
}

/// Milliseconds since the start.
#[derive(Default)]
struct Watch {
    alive: AtomicU64,
    given_up: AtomicBool,
}

/// Why a watch is opened again, or a list made: values of the label `reason`.
pub(super) mod reason {
    /// The versions that were asked for are gone (410).
    pub(in crate::source::kubernetes) const EXPIRED: &str = "expired";
    /// The first list.
    pub(in crate::source::kubernetes) const START: &str = "start";
    /// SIGHUP.
    pub(in crate::source::kubernetes) const ASKED: &str = "asked";
    /// The list before was not completed.
    pub(in crate::source::kubernetes) const BROKEN_OFF: &str = "broken_off";
}

struct SourceMetrics {
    last_event: GaugeVec,
    events: IntCounterVec,
    lists: IntCounterVec,
    failures: IntCounterVec,
    invalid: IntGaugeVec,
    synced: IntGaugeVec,
}

impl std::fmt::Debug for Vital {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vital").finish_non_exhaustive()
    }
}

impl Vital {
    /// Signs of life that are missed after `limit`.
    ///
    /// # Errors
    /// Two metrics have one name.
    pub fn new(registry: &Registry, limit: Duration) -> Result<Self, prometheus::Error> {
        let shared = Shared {
            start: Instant::now(),
            limit,
            watches: Default::default(),
            reached: AtomicU64::new(0),
            metrics: SourceMetrics::register(registry)?,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// The watch of this resource has been silent for too long although the server answers.
    #[must_use]
    pub fn stuck(&self, now: Instant) -> Option<Resource> {
        let now = self.millis(now);
        let limit = u64::try_from(self.shared.limit.as_millis()).unwrap_or(u64::MAX);
        let recent = |then: &AtomicU64| now.saturating_sub(then.load(Ordering::Relaxed)) < limit;
        if !recent(&self.shared.reached) {
            return None;
        }
        Resource::ALL.into_iter().find(|resource| {
            let watch = self.watch(*resource);
            !watch.given_up.load(Ordering::Relaxed) && !recent(&watch.alive)
        })
    }

    /// Something came on the watch.
    pub(super) fn alive(&self, resource: Resource, events: usize) {
        let now = Instant::now();
        let watch = self.watch(resource);
        watch.alive.store(self.millis(now), Ordering::Relaxed);
        watch.given_up.store(false, Ordering::Relaxed);
        self.reached(now);
        let labels = [resource.as_str()];
        let metrics = &self.shared.metrics;
        let seconds = jiff::Timestamp::now().as_duration().as_secs_f64();
        metrics.last_event.with_label_values(&labels).set(seconds);
        let counter = metrics.events.with_label_values(&labels);
        counter.inc_by(events as u64);
    }

    /// The server can be reached, whatever it says.
    pub(super) fn reached(&self, now: Instant) {
        let now = self.millis(now);
        self.shared.reached.fetch_max(now, Ordering::Relaxed);
    }

    /// The server does not have the resource: nothing is to be expected.
    pub(super) fn given_up(&self, resource: Resource) {
        self.watch(resource).given_up.store(true, Ordering::Relaxed);
    }

    pub(super) fn listed(&self, resource: Resource, reason: &str) {
        let lists = &self.shared.metrics.lists;
        lists.with_label_values(&[resource.as_str(), reason]).inc();
    }

    pub(super) fn failed(&self, resource: Resource, reason: &str) {
        let failures = &self.shared.metrics.failures;
        failures
            .with_label_values(&[resource.as_str(), reason])
            .inc();
    }

    /// Whether the resource was listed completely, and how many of its objects are no good.
    pub fn counted(&self, resource: Resource, listed: bool, invalid: usize) {
        let metrics = &self.shared.metrics;
        let labels = [resource.as_str()];
        metrics
            .synced
            .with_label_values(&labels)
            .set(i64::from(listed));
        let invalid = i64::try_from(invalid).unwrap_or(i64::MAX);
        metrics.invalid.with_label_values(&labels).set(invalid);
    }

    fn watch(&self, resource: Resource) -> &Watch {
        let [services, slices, nodes, cidrs] = &self.shared.watches;
        match resource {
            Resource::Services => services,
            Resource::EndpointSlices => slices,
            Resource::Nodes => nodes,
            Resource::ServiceCidrs => cidrs,
        }
    }

    fn millis(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.shared.start);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

impl SourceMetrics {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let name = |name: &str, help: &str| Opts::new(format!("portolan_source_{name}"), help);
        let metrics = Self {
            last_event: GaugeVec::new(
                name(
                    "last_event_seconds",
                    "Unix time of the last sign of life of a watch of the API, bookmarks included",
                ),
                &["resource"],
            )?,
            events: IntCounterVec::new(
                name(
                    "events_total",
                    "Objects and bookmarks received from the API",
                ),
                &["resource"],
            )?,
            lists: IntCounterVec::new(
                name("lists_total", "Complete lists begun, by reason"),
                &["resource", "reason"],
            )?,
            failures: IntCounterVec::new(
                name(
                    "failures_total",
                    "Requests to the API that failed, and watches that broke off, by reason",
                ),
                &["resource", "reason"],
            )?,
            invalid: IntGaugeVec::new(
                name(
                    "invalid_objects",
                    "Objects of the API that cannot be used, or not all of them",
                ),
                &["resource"],
            )?,
            synced: IntGaugeVec::new(
                name(
                    "synced",
                    "1 if the resource was listed completely since the start",
                ),
                &["resource"],
            )?,
        };
        registry.register(Box::new(metrics.last_event.clone()))?;
        registry.register(Box::new(metrics.events.clone()))?;
        registry.register(Box::new(metrics.lists.clone()))?;
        registry.register(Box::new(metrics.failures.clone()))?;
        registry.register(Box::new(metrics.invalid.clone()))?;
        registry.register(Box::new(metrics.synced.clone()))?;
        for resource in Resource::ALL {
            metrics.invalid.with_label_values(&[resource.as_str()]);
            metrics.synced.with_label_values(&[resource.as_str()]);
        }
        Ok(metrics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(300);

    #[test]
    fn a_watch_is_stuck_if_it_is_silent_while_the_server_answers() {
        let vital = Vital::new(&Registry::new(), LIMIT).unwrap();
        let at = |seconds| vital.shared.start + Duration::from_secs(seconds);
        assert_eq!(vital.stuck(at(299)), None, "everything has just begun");
        vital.reached(at(400));
        assert_eq!(vital.stuck(at(500)), Some(Resource::Services));
        vital.given_up(Resource::Services);
        assert_eq!(vital.stuck(at(500)), Some(Resource::EndpointSlices));
        assert_eq!(vital.stuck(at(701)), None, "nobody can reach the server");
    }
}

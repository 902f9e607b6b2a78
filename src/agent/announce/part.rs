//! What this node answers for: questions about it, and telling neighbours of it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use prometheus::IntGauge;

use super::AnnounceOptions;
use super::links::Links;
use crate::model::NamespacedName;

/// How often links are looked for.
const LOOK: Duration = Duration::from_secs(5);
/// When an address is announced, counted from when it was taken: a lost word is said again.
const REPEATS: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// Whether a Service may be answered for now.
pub(super) type May<'a> = &'a dyn Fn(&NamespacedName) -> bool;

pub(super) struct Part {
    gauge: IntGauge,
    pub(super) links: Links,
    services: BTreeMap<IpAddr, NamespacedName>,
    repeats: BTreeSet<(Instant, IpAddr)>,
    look_at: Instant,
}

impl Part {
    /// Nothing.
    pub(super) fn new(options: &AnnounceOptions, gauge: IntGauge) -> Self {
        let mut links = Links::default();
        links.refresh(options, &BTreeSet::new());
        Self {
            gauge,
            links,
            services: BTreeMap::new(),
            repeats: BTreeSet::new(),
            look_at: Instant::now() + LOOK,
        }
    }

    /// When there is something to do.
    pub(super) fn due(&self) -> Instant {
        let repeat = self.repeats.first().map(|(at, _)| *at);
        repeat.map_or(self.look_at, |repeat| repeat.min(self.look_at))
    }

    /// Looks for links, and says again what is due, as far as it may be said.
    pub(super) fn time(&mut self, options: &AnnounceOptions, now: Instant, may: May<'_>) {
        if self.look_at <= now {
            self.look_at = now + LOOK;
            let part = self.services.iter();
            let part = part.filter(|(_, service)| may(service));
            self.links
                .refresh(options, &part.map(|(address, _)| *address).collect());
        }
        while let Some((at, address)) = self.repeats.first().copied()
            && at <= now
        {
            self.repeats.pop_first();
            if self.services.get(&address).is_some_and(may) {
                self.links.announce(address);
            }
        }
    }

    /// Answers the questions that wait, for Services that may be answered for at that moment.
    pub(super) fn answer(&self, may: May<'_>) {
        self.links
            .answer(|address| self.services.get(&address).is_some_and(may));
    }

    /// From now on it is this.
    pub(super) fn set(&mut self, services: BTreeMap<IpAddr, NamespacedName>, now: Instant) {
        let before = std::mem::replace(&mut self.services, services);
        for (address, service) in &before {
            if !self.services.contains_key(address) {
                tracing::info!(%address, %service, "no longer answering for");
                self.links.leave(*address);
                self.repeats.retain(|(_, repeated)| repeated != address);
            }
        }
        for (address, service) in &self.services {
            if !before.contains_key(address) {
                tracing::info!(%address, %service, "answering for");
                self.links.take(*address);
                let repeats = REPEATS.map(|after| (now + after, *address));
                self.repeats.extend(repeats);
            }
        }
        self.gauge
            .set(i64::try_from(self.services.len()).unwrap_or(i64::MAX));
    }
}

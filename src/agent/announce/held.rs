//! The Services that this node may answer for, each until a moment of its own.
//!
//! Leases are renewed elsewhere, where the API server is reached from. Whatever becomes of that, a
//! Lease that nobody speaks of any more ends here by the clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use crate::model::NamespacedName;

#[derive(Debug, Default)]
pub(super) struct Held {
    until: BTreeMap<NamespacedName, Instant>,
    next_end: Option<Instant>,
}

impl Held {
    /// These may be answered for until then now, or (`None`) not at all; whether that makes them
    /// others than before.
    pub(super) fn change(
        &mut self,
        changes: BTreeMap<NamespacedName, Option<Instant>>,
        now: Instant,
    ) -> bool {
        let mut others = false;
        for (service, until) in changes {
            others |= match until.filter(|until| now < *until) {
                Some(until) => self.until.insert(service, until).is_none(),
                None => self.until.remove(&service).is_some(),
            };
        }
        self.next_end = self.until.values().min().copied();
        others
    }

    /// Drops those whose time is over; whether there were any.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        if self.next_end.is_none_or(|end| now < end) {
            return false;
        }
        self.until.retain(|service, until| {
            let holds = now < *until;
            if !holds {
                tracing::debug!(%service, "its Lease was not renewed in time");
            }
            holds
        });
        self.next_end = self.until.values().min().copied();
        true
    }

    /// Whether this one may be answered for at this very moment.
    pub(super) fn holds(&self, service: &NamespacedName) -> bool {
        let until = self.until.get(service);
        until.is_some_and(|until| Instant::now() < *until)
    }

    /// When the first of them ends.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.next_end
    }

    pub(super) fn is_empty(&self) -> bool {
        self.until.is_empty()
    }

    pub(super) fn services(&self) -> BTreeSet<NamespacedName> {
        self.until.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_not_renewed_ends_without_a_word() {
        let name = |name: &str| NamespacedName::new("default", name);
        let now = Instant::now();
        let (soon, later) = (
            now + Duration::from_millis(500),
            now + Duration::from_secs(60),
        );
        let mut held = Held::default();
        let both = [(name("a"), Some(soon)), (name("b"), Some(later))];
        assert!(held.change(both.into(), now));
        assert!(held.holds(&name("a")) && held.holds(&name("b")));
        assert_eq!(held.next_end(), Some(soon));
        std::thread::sleep(Duration::from_millis(510));
        assert!(!held.holds(&name("a")), "before anybody looks at the clock");
        assert!(held.expire(Instant::now()));
        assert_eq!(held.services(), [name("b")].into());
        assert!(!held.expire(Instant::now()));
        // A renewal makes nothing else of it; the end does.
        let renewed = later + Duration::from_secs(1);
        assert!(!held.change([(name("b"), Some(renewed))].into(), now));
        assert!(held.change([(name("b"), None)].into(), now));
        assert!(held.is_empty());
        // News that come too late are none.
        assert!(!held.change([(name("a"), Some(soon))].into(), Instant::now()));
    }
}

//! How long to wait before the next try.
//!
//! Two wishes are at odds: thousands of nodes must not trample a server that is in trouble, and
//! rules must be right within a second of its return. So waits grow fast, and stay below a second
//! for as long as an outage usually lasts; only after that they grow further.

use std::time::Duration;

/// The first wait.
const FIRST: Duration = Duration::from_millis(50);
/// The longest while an outage is young.
const SHORT: Duration = Duration::from_millis(800);
/// How many tries in a row an outage is young for: about five minutes.
const YOUNG: u32 = 400;
/// The longest ever.
const LONG: Duration = Duration::from_secs(10);

/// Failures in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// It worked.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// It failed again; gives the time to wait. `chance` is between 0 and 1: how much of the half
    /// that is left to chance to take, so that nodes do not come all at once.
    pub(super) fn failed(&mut self, chance: f64) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let young = FIRST
            .saturating_mul(1 << (self.failures - 1).min(10))
            .min(SHORT);
        let whole = match self.failures.checked_sub(YOUNG) {
            None => young,
            Some(old) => SHORT.saturating_mul(1 << old.min(10)).min(LONG),
        };
        whole.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_below_a_second_for_minutes_and_then_grow() {
        let mut backoff = Backoff::default();
        let mut total = Duration::ZERO;
        for _ in 0..399 {
            let wait = backoff.failed(1.0);
            assert!(wait <= SHORT);
            total += wait;
        }
        assert!(total > Duration::from_secs(300), "{total:?}");
        let later = (0..20).map(|_| backoff.failed(1.0)).max();
        assert_eq!(later, Some(LONG));
        backoff.succeeded();
        assert_eq!(backoff.failed(1.0), FIRST);
    }

    #[test]
    fn half_of_each_wait_is_left_to_chance() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.failed(0.0), FIRST / 2);
        assert_eq!(backoff.failed(0.5), FIRST * 2 * 3 / 4);
    }
}

//! When to repair: at once, unless somebody does the same damage again and again.

use std::time::{Duration, Instant};

/// How a storm of damage is damped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Distance between the first repair of a storm and the second; it doubles from repair to
    /// repair.
    pub first_delay: Duration,
    /// The distance grows no further.
    pub longest_delay: Duration,
    /// One doubling is undone for each such time between a repair and the next damage.
    pub calm: Duration,
}

/// A second repair 50 ms after the first, then 100 ms, 200 ms and so on up to 3 s, so that two
/// programs that undo each other's work cost little. Damage less than twice a second is no storm.
impl Default for Pace {
    fn default() -> Self {
        Self {
            first_delay: Duration::from_millis(50),
            longest_delay: Duration::from_secs(3),
            calm: Duration::from_millis(500),
        }
    }
}

impl Pace {
    /// The distance to keep from the last repair after so many of a storm.
    fn delay(&self, repairs: u32) -> Duration {
        let Some(doublings) = repairs.checked_sub(1) else {
            return Duration::ZERO;
        };
        let factor = 2u32.saturating_pow(doublings);
        self.first_delay
            .saturating_mul(factor)
            .min(self.longest_delay)
    }

    /// After so many repairs the delay is the longest.
    fn most(&self) -> u32 {
        (1..32)
            .find(|repairs| self.delay(*repairs) >= self.longest_delay)
            .unwrap_or(32)
    }
}

/// Decides when to repair.
///
/// Damage is [`heard`](Damper::heard), [`due`](Damper::due) says when to repair it, and
/// [`begin`](Damper::begin) says that a repair of everything heard so far begins.
#[derive(Clone, Debug)]
pub struct Damper {
    pace: Pace,
    due: Option<Instant>,
    last: Option<Instant>,
    /// Repairs of the present storm, less what calm has undone.
    repairs: u32,
}

impl Damper {
    /// A damper that has not heard of anything.
    #[must_use]
    pub fn new(pace: Pace) -> Self {
        Self {
            pace,
            due: None,
            last: None,
            repairs: 0,
        }
    }

    /// There is damage. Says whether that is news: nothing was waiting for repair.
    pub fn heard(&mut self, now: Instant) -> bool {
        if self.due.is_some() {
            return false;
        }
        self.repairs = self.repairs_left(now);
        let earliest = self.last.map(|last| last + self.pace.delay(self.repairs));
        self.due = Some(earliest.map_or(now, |earliest| earliest.max(now)));
        true
    }

    /// When to repair; `None` if nothing waits for repair.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether it is time to repair.
    #[must_use]
    pub fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// A repair of all that was heard begins; damage heard from now on needs another.
    pub fn begin(&mut self, now: Instant) {
        self.due = None;
        self.last = Some(now);
        self.repairs = (self.repairs + 1).min(self.pace.most());
    }

    /// The repair that began last did not succeed: what it was for still waits, at the distance
    /// that a storm has by now.
    pub fn failed(&mut self, now: Instant) {
        let retry = now + self.pace.delay(self.repairs.max(1));
        self.due = Some(self.due.map_or(retry, |due| due.max(retry)));
    }

    /// Whether repairs are being held back.
    #[must_use]
    pub fn is_storm(&self, now: Instant) -> bool {
        let repairs = match self.due {
            Some(_) => self.repairs,
            None => self.repairs_left(now),
        };
        repairs > 1
    }

    /// The repairs that still count if the first damage since the last one comes now.
    fn repairs_left(&self, now: Instant) -> u32 {
        let Some(last) = self.last else {
            return self.repairs;
        };
        let calm = now.saturating_duration_since(last).as_nanos();
        let steps = calm.checked_div(self.pace.calm.as_nanos());
        let steps = steps.and_then(|steps| u32::try_from(steps).ok());
        self.repairs.saturating_sub(steps.unwrap_or(u32::MAX))
    }
}

impl Default for Damper {
    fn default() -> Self {
        Self::new(Pace::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// How long each of `times` repairs waits if damage is done again right after each.
    fn storm(damper: &mut Damper, now: &mut Instant, times: usize) -> Vec<u64> {
        (0..times)
            .map(|_| {
                assert!(damper.heard(*now));
                let wait = damper.due().unwrap() - *now;
                *now += wait;
                assert!(damper.is_due(*now));
                damper.begin(*now);
                u64::try_from(wait.as_millis()).unwrap()
            })
            .collect()
    }

    #[test]
    fn the_first_damage_is_repaired_at_once() {
        let now = Instant::now();
        let mut damper = Damper::default();
        assert_eq!((damper.due(), damper.is_due(now)), (None, false));
        assert!(damper.heard(now));
        assert_eq!(damper.due(), Some(now));
        assert!(!damper.is_storm(now));
    }

    #[test]
    fn damage_that_waits_already_is_repaired_with_the_rest() {
        let mut now = Instant::now();
        let mut damper = Damper::default();
        storm(&mut damper, &mut now, 1);
        assert!(damper.heard(now));
        let due = damper.due();
        for _ in 0..1000 {
            now += ms(1) / 100;
            assert!(!damper.heard(now), "nothing new to decide");
        }
        assert_eq!(damper.due(), due, "more damage does not put the repair off");
        damper.begin(now);
        assert_eq!(damper.due(), None);
    }

    #[test]
    fn damage_done_again_and_again_is_repaired_ever_later() {
        let mut now = Instant::now();
        let waits = storm(&mut Damper::default(), &mut now, 11);
        let expected = [0, 50, 100, 200, 400, 800, 1600, 3000, 3000, 3000, 3000];
        assert_eq!(waits, expected);
    }

    /// The waits if damage is done at this rate whatever is repaired.
    fn waits_at_rate(every: Duration) -> Vec<Duration> {
        let start = Instant::now();
        let mut damper = Damper::default();
        let mut waits = Vec::new();
        for number in 0..200 {
            let now = start + every * number;
            if let Some(due) = damper.due().filter(|due| *due <= now) {
                damper.begin(due);
            }
            if damper.heard(now) {
                waits.push(damper.due().unwrap() - now);
            }
            if damper.is_due(now) {
                damper.begin(now);
            }
        }
        waits
    }

    #[test]
    fn damage_less_than_twice_a_second_is_never_put_off() {
        for every in [ms(500), ms(1000), ms(20_000)] {
            let waits = waits_at_rate(every);
            assert!(waits.iter().all(Duration::is_zero), "{every:?}: {waits:?}");
        }
    }

    #[test]
    fn frequent_damage_is_put_off_by_at_most_three_seconds() {
        for every in [ms(1), ms(100), ms(400)] {
            let longest = waits_at_rate(every).into_iter().max().unwrap();
            assert!(longest > ms(100) && longest <= ms(3000), "{longest:?}");
        }
    }

    #[test]
    fn calm_is_rewarded_step_by_step() {
        let mut now = Instant::now();
        let mut damper = Damper::default();
        storm(&mut damper, &mut now, 8);
        assert!(damper.is_storm(now));
        // Two times calm: two doublings less. The wait counts from the last repair, so calm itself
        // has paid for most of it.
        now += ms(1000);
        assert!(damper.is_storm(now));
        assert_eq!(storm(&mut damper, &mut now, 2), [0, 1600]);
        now += ms(4000);
        assert!(!damper.is_storm(now));
        assert_eq!(storm(&mut damper, &mut now, 3), [0, 50, 100]);
    }

    #[test]
    fn a_failed_repair_is_tried_again_and_less_and_less_often() {
        let mut now = Instant::now();
        let mut damper = Damper::default();
        damper.heard(now);
        let mut waits = Vec::new();
        for _ in 0..10 {
            damper.begin(now);
            damper.failed(now);
            let due = damper.due().unwrap();
            waits.push(u64::try_from((due - now).as_millis()).unwrap());
            now = due;
        }
        assert_eq!(
            waits,
            [50, 100, 200, 400, 800, 1600, 3000, 3000, 3000, 3000]
        );
    }

    #[test]
    fn damage_heard_during_a_repair_that_fails_does_not_hasten_the_retry() {
        let now = Instant::now();
        let mut damper = Damper::default();
        damper.begin(now);
        damper.heard(now);
        damper.failed(now + ms(20));
        assert_eq!(damper.due(), Some(now + ms(70)));
    }

    #[test]
    fn extreme_paces_do_not_overflow() {
        let mut now = Instant::now();
        for pace in [
            Pace {
                first_delay: Duration::ZERO,
                longest_delay: Duration::ZERO,
                calm: Duration::ZERO,
            },
            Pace {
                first_delay: ms(1),
                longest_delay: Duration::from_secs(3600),
                calm: Duration::from_nanos(1),
            },
        ] {
            let mut damper = Damper::new(pace);
            storm(&mut damper, &mut now, 100);
            now += Duration::from_secs(1_000_000);
            damper.heard(now);
            assert!(damper.is_due(now));
        }
    }
}

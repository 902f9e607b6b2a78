//! What a service manager is told (`sd_notify(3)`), for units of `Type=notify`. Without one,
//! nothing happens.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;

/// Tells that the first load is in the kernel.
pub(super) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Tells that the agent ends.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}

/// Signs of life for `WatchdogSec=`, from the loop itself: if it hangs, they stop.
#[derive(Debug)]
pub(super) struct Watchdog {
    every: Option<Duration>,
    next: Instant,
}

impl Watchdog {
    /// Twice as often as the service manager asks for.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            every: sd_notify::watchdog_enabled().map(|within| within / 2),
            next: now,
        }
    }

    /// When the next sign is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.every.map(|_| self.next)
    }

    /// Gives a sign if one is due.
    pub(super) fn pat(&mut self, now: Instant) {
        if let Some(every) = self.every
            && self.next <= now
        {
            tell(&[NotifyState::Watchdog]);
            self.next = now + every;
        }
    }
}

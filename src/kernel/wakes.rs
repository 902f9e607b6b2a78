//! Several descriptors to wait for as one, and an alarm among them.
//!
//! An epoll descriptor is readable when one of those it watches is: who can wait for one descriptor
//! can wait for all. Must not read what it watches.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// What is waited for.
#[derive(Debug)]
pub struct Wakes {
    epoll: Epoll,
    timer: TimerFd,
}

impl Wakes {
    /// Watches nothing yet but the alarm, which is off.
    ///
    /// # Errors
    /// What `epoll_create1(2)` and `timerfd_create(2)` report.
    pub fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let wakes = Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            timer: TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?,
        };
        wakes.watch(&wakes.timer)?;
        Ok(wakes)
    }

    /// Watches a descriptor for as long as that is open.
    ///
    /// # Errors
    /// What `epoll_ctl(2)` reports.
    pub fn watch(&self, descriptor: impl AsFd) -> io::Result<()> {
        let readable = EpollEvent::new(EpollFlags::EPOLLIN, 0);
        Ok(self.epoll.add(descriptor, readable)?)
    }

    /// Rings after this time, once, whatever was set before.
    ///
    /// # Errors
    /// What `timerfd_settime(2)` reports.
    pub fn alarm(&self, after: Duration) -> io::Result<()> {
        // A time of nothing would switch it off.
        let after = TimeSpec::from_duration(after.max(Duration::from_millis(1)));
        let once = Expiration::OneShot(after);
        Ok(self.timer.set(once, TimerSetTimeFlags::empty())?)
    }

    /// Whether the alarm has rung since the last question.
    #[must_use]
    pub fn has_rung(&self) -> bool {
        self.timer.wait().is_ok()
    }

    /// A duplicate of the descriptor to wait for.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        self.epoll.0.as_fd().try_clone_to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_rings_once() {
        let wakes = Wakes::new().unwrap();
        assert!(!wakes.has_rung());
        wakes.alarm(Duration::from_millis(1)).unwrap();
        let mut poll = [nix::sys::epoll::EpollEvent::empty()];
        wakes.epoll.wait(&mut poll, 5000u16).unwrap();
        assert!(wakes.has_rung());
        assert!(!wakes.has_rung());
    }
}

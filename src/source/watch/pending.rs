//! Events into bursts: when a change is worth acting on.

use std::collections::BTreeSet;
use std::path::PathBuf;

use tokio::time::Instant;

use super::Settle;
use super::inotify::WriteState;
use crate::source::changes::Changes;

/// What was seen and not handed out yet.
#[derive(Debug, Default)]
pub(super) struct Pending {
    changes: Changes,
    first: Option<Instant>,
    last: Option<Instant>,
    /// Files somebody is writing to: half a file is worth waiting for the other half.
    being_written: BTreeSet<PathBuf>,
    at_once: bool,
}

impl Pending {
    /// A path may have changed.
    pub(super) fn add(&mut self, path: PathBuf, now: Instant) {
        self.changes.paths.insert(path);
        self.touch(now);
    }

    /// Something happened to a path.
    pub(super) fn see(&mut self, path: PathBuf, state: WriteState, now: Instant) {
        match state {
            WriteState::Begun => drop(self.being_written.insert(path.clone())),
            WriteState::Over => drop(self.being_written.remove(&path)),
        }
        self.add(path, now);
    }

    /// Events were lost.
    pub(super) fn lost(&mut self, now: Instant) {
        self.changes.everything = true;
        self.being_written.clear();
        self.touch(now);
    }

    pub(super) fn ask_for_everything(&mut self, now: Instant) {
        self.changes.everything = true;
        self.at_once = true;
        self.touch(now);
    }

    fn touch(&mut self, now: Instant) {
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    /// When to hand out what there is; `None` if there is nothing.
    pub(super) fn due(&self, settle: &Settle) -> Option<Instant> {
        let (first, last) = (self.first?, self.last?);
        let at_most = first + settle.at_most;
        Some(match (self.at_once, self.being_written.is_empty()) {
            (true, _) => first,
            (false, true) => at_most.min(last + settle.quiet),
            (false, false) => at_most,
        })
    }

    pub(super) fn take(&mut self) -> Changes {
        (self.first, self.last, self.at_once) = (None, None, false);
        std::mem::take(&mut self.changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn settle() -> Settle {
        Settle::default()
    }

    fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    #[test]
    fn a_burst_ends_with_quiet_or_when_it_has_lasted_long_enough() {
        let mut pending = Pending::default();
        assert_eq!(pending.due(&settle()), None);
        let start = Instant::now();
        for step in 0..20 {
            pending.see("a".into(), WriteState::Over, start + ms(15 * step));
        }
        assert_eq!(pending.due(&settle()), Some(start + ms(200)));
        assert_eq!(pending.take().paths.len(), 1);
        pending.see("b".into(), WriteState::Over, start + ms(500));
        assert_eq!(pending.due(&settle()), Some(start + ms(520)));
    }

    #[test]
    fn half_a_file_waits_for_the_other_half() {
        let mut pending = Pending::default();
        let start = Instant::now();
        pending.see("a".into(), WriteState::Begun, start);
        assert_eq!(pending.due(&settle()), Some(start + ms(200)));
        pending.see("a".into(), WriteState::Over, start + ms(50));
        assert_eq!(pending.due(&settle()), Some(start + ms(70)));
    }

    #[test]
    fn what_is_asked_for_does_not_wait() {
        let mut pending = Pending::default();
        let start = Instant::now();
        pending.ask_for_everything(start);
        assert_eq!(pending.due(&settle()), Some(start));
        assert!(pending.take().everything);
        assert_eq!(pending.due(&settle()), None);
    }
}

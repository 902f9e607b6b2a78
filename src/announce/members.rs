//! Which nodes are there, by what is heard of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::heartbeat::{Heartbeat, State};

/// How often nodes speak, and how long one may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Between two heartbeats.
    pub interval: Duration,
    /// A node that was not heard for so long is gone; a node that starts listens for so long.
    pub patience: Duration,
}

impl Default for Timing {
    /// Two heartbeats a second; three that are missed are a node that is gone.
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(500),
            patience: Duration::from_millis(1750),
        }
    }
}

/// This node, and those it hears.
#[derive(Debug)]
pub struct Members {
    own: Arc<str>,
    timing: Timing,
    started: Instant,
    leaving: bool,
    /// A node was answering when it was first heard: this one came later.
    joined: bool,
    heard: BTreeMap<Arc<str>, (Instant, State)>,
}

impl Members {
    /// A node that starts and has heard nobody.
    #[must_use]
    pub fn new(own: Arc<str>, timing: Timing, now: Instant) -> Self {
        Self {
            own,
            timing,
            started: now,
            leaving: false,
            joined: false,
            heard: BTreeMap::new(),
        }
    }

    /// Takes in what a node said. Whether it is that node is the caller's to know.
    pub fn heard(&mut self, heartbeat: &Heartbeat, now: Instant) {
        if *heartbeat.node != *self.own {
            let node = Arc::from(&*heartbeat.node);
            let before = self.heard.insert(node, (now, heartbeat.state));
            let is_new = before.is_none_or(|(at, _)| !self.is_recent(at, now));
            self.joined |= is_new && heartbeat.state == State::Taking;
        }
    }

    /// This node is about to end.
    pub fn leave(&mut self) {
        self.leaving = true;
    }

    /// What this node is to say.
    #[must_use]
    pub fn heartbeat(&self, now: Instant) -> Heartbeat {
        Heartbeat {
            node: (*self.own).into(),
            state: self.state(now),
        }
    }

    fn state(&self, now: Instant) -> State {
        if self.leaving {
            State::Leaving
        } else if now.saturating_duration_since(self.started) < self.timing.patience {
            State::Listening
        } else {
            State::Taking
        }
    }

    fn is_recent(&self, at: Instant, now: Instant) -> bool {
        now.saturating_duration_since(at) < self.timing.patience
    }

    /// Whether this node and all that it hears started a moment ago: nobody answered before.
    fn all_begin(&self, now: Instant) -> bool {
        !self.joined && now.saturating_duration_since(self.started) < self.timing.patience * 2
    }

    /// The nodes that answer for their part now; this one among them, if it does. Where all begin,
    /// those that still listen count: the first would otherwise take everything, and hand most of it
    /// over a moment later, under the connections that were made meanwhile.
    #[must_use]
    pub fn taking(&self, now: Instant) -> BTreeSet<Arc<str>> {
        let takes = self.state(now) == State::Taking;
        let begins = takes && self.all_begin(now);
        let counts = |(at, state): &(Instant, State)| match state {
            State::Taking => self.is_recent(*at, now),
            State::Listening => begins && self.is_recent(*at, now),
            State::Leaving => false,
        };
        let others = self.heard.iter().filter(|(_, heard)| counts(heard));
        let own = takes.then(|| Arc::clone(&self.own));
        others
            .map(|(node, _)| Arc::clone(node))
            .chain(own)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(node: &str, state: State) -> Heartbeat {
        Heartbeat {
            node: node.into(),
            state,
        }
    }

    fn names(members: &Members, now: Instant) -> String {
        let taking = members.taking(now);
        let names: Vec<&str> = taking.iter().map(|name| &**name).collect();
        names.join(",")
    }

    #[test]
    fn the_first_of_nodes_that_start_together_leaves_the_others_their_part() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut first = Members::new("a".into(), Timing::default(), start);
        for ms in [400, 900, 1400, 1900] {
            first.heard(&says("b", State::Listening), at(ms));
        }
        assert_eq!(names(&first, at(1900)), "a,b");
        first.heard(&says("b", State::Taking), at(2200));
        assert_eq!(names(&first, at(2200)), "a,b");
        // One that never gets so far.
        first.heard(&says("c", State::Listening), at(2300));
        assert_eq!(names(&first, at(2300)), "a,b,c");
        first.heard(&says("b", State::Taking), at(3000));
        first.heard(&says("b", State::Taking), at(4000));
        assert_eq!(names(&first, at(4100)), "a,b");
    }

    #[test]
    fn nodes_that_come_to_others_take_nothing_from_them_before_they_answer() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        // `old` has been there for long, `a` and `b` come.
        let mut old = Members::new("old".into(), Timing::default(), start);
        let mut came = Members::new("a".into(), Timing::default(), at(60_000));
        old.heard(&says("b", State::Listening), at(61_000));
        came.heard(&says("b", State::Listening), at(61_000));
        came.heard(&says("old", State::Taking), at(61_000));
        assert_eq!(names(&old, at(61_800)), "old");
        assert_eq!(names(&came, at(61_800)), "a,old");
        // One that was away for a while is a new one.
        came.heard(&says("b", State::Taking), at(61_900));
        came.heard(&says("old", State::Listening), at(62_900));
        assert_eq!(names(&came, at(62_950)), "a,b");
    }

    #[test]
    fn a_node_counts_from_when_it_takes_until_it_leaves_or_falls_silent() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut members = Members::new("a".into(), Timing::default(), start);
        let says = |state| says("b", state);
        let taking = |members: &Members, ms| names(members, at(ms));
        assert_eq!(taking(&members, 0), "", "it listens first");
        members.heard(&says(State::Listening), at(100));
        assert_eq!(taking(&members, 100), "");
        members.heard(&says(State::Taking), at(500));
        assert_eq!(taking(&members, 500), "b");
        assert_eq!(taking(&members, 1800), "a,b");
        assert_eq!(taking(&members, 2300), "a", "b fell silent");
        members.heard(&says(State::Taking), at(2400));
        members.heard(&says(State::Leaving), at(2500));
        assert_eq!(taking(&members, 2500), "a");
        members.leave();
        assert_eq!(members.heartbeat(at(2600)).state, State::Leaving);
        assert_eq!(taking(&members, 2600), "");
    }
}

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
            heard: BTreeMap::new(),
        }
    }

    /// Takes in what a node said. Whether it is that node is the caller's to know.
    pub fn heard(&mut self, heartbeat: &Heartbeat, now: Instant) {
        if *heartbeat.node != *self.own {
            let node = Arc::from(&*heartbeat.node);
            self.heard.insert(node, (now, heartbeat.state));
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

    /// The nodes that answer for their part now; this one among them, if it does.
    #[must_use]
    pub fn taking(&self, now: Instant) -> BTreeSet<Arc<str>> {
        let is_there = |(at, state): &(Instant, State)| {
            *state == State::Taking && now.saturating_duration_since(*at) < self.timing.patience
        };
        let others = self.heard.iter().filter(|(_, heard)| is_there(heard));
        let own = (self.state(now) == State::Taking).then(|| Arc::clone(&self.own));
        others
            .map(|(node, _)| Arc::clone(node))
            .chain(own)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_counts_from_when_it_takes_until_it_leaves_or_falls_silent() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut members = Members::new("a".into(), Timing::default(), start);
        let says = |state| Heartbeat {
            node: "b".into(),
            state,
        };
        let taking = |members: &Members, ms| {
            let names: Vec<String> = members
                .taking(at(ms))
                .iter()
                .map(ToString::to_string)
                .collect();
            names.join(",")
        };
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

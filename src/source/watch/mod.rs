//! Tells that manifests may have changed, over inotify.
//!
//! Watches directories and not files: editors and mounted ConfigMaps replace files by a rename, and
//! a file's own watch would stay with the old one. Where inotify does not work (its limits, file
//! systems of other machines) directories are looked at every few seconds, and that is said.
//!
//! Must not read files, and must not decide what is a manifest beyond what [`WatchList`] says.
//!
//! The `notify` package is not used: it asks the kernel for every opening of every file, so that
//! reading ten thousand manifests again would overflow the queue that made them be read again.

mod inotify;
mod list;
mod pending;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

pub use list::WatchList;

use super::changes::Changes;
use inotify::{Events, Seen};
use pending::Pending;

/// How long bursts of events are collected, and how often to look where there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settle {
    /// Events are handed out when none came for this long and no file is being written.
    pub quiet: Duration,
    /// And at the latest so long after the first one.
    pub at_most: Duration,
    /// How often directories are looked at that cannot be watched.
    pub poll: Duration,
}

impl Default for Settle {
    /// 20 ms of quiet, 200 ms at most; every 2 s without inotify.
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(20),
            at_most: Duration::from_millis(200),
            poll: Duration::from_secs(2),
        }
    }
}

/// Watches files and directories.
#[derive(Debug)]
pub struct Watcher {
    settle: Settle,
    list: WatchList,
    /// `None` where the kernel gives no inotify instance: everything is polled.
    events: Option<Events>,
    /// Directories that are polled.
    polled: Vec<PathBuf>,
    polled_last: Instant,
    pending: Pending,
    notes: Vec<String>,
    noted: HashSet<String>,
}

impl Watcher {
    /// A watcher that watches nothing yet. To be called within a tokio runtime that has I/O and
    /// time enabled.
    #[must_use]
    pub fn new(settle: Settle) -> Self {
        let mut watcher = Self {
            settle,
            list: WatchList::default(),
            events: None,
            polled: Vec::new(),
            polled_last: Instant::now(),
            pending: Pending::default(),
            notes: Vec::new(),
            noted: HashSet::new(),
        };
        match Events::new() {
            Ok(events) => watcher.events = Some(events),
            Err(error) => watcher.note(format!(
                "cannot watch files ({error}; limit: fs.inotify.max_user_instances): looking at \
                 them every {} s instead",
                settle.poll.as_secs_f32()
            )),
        }
        watcher
    }

    /// Watches what is in the list, and no longer what is not. To be called after every
    /// [`changed`](crate::agent::live::LiveSource::changed); costs nothing if the list is the same.
    ///
    /// What begins to be watched is reported as changed: it may have, before.
    pub fn follow(&mut self, list: &WatchList) {
        if self.list.is(list) {
            return;
        }
        self.list = list.clone();
        let now = Instant::now();
        self.polled.clear();
        let Some(events) = &mut self.events else {
            self.polled.extend(list.directories().iter().cloned());
            self.polled.extend(list.ways().iter().cloned());
            return;
        };
        let outcome = events.watch(list);
        for directory in outcome.new {
            self.pending.add(directory, now);
        }
        for (directory, why) in outcome.refused {
            self.note(format!(
                "cannot watch {} ({why}): looking at it every {} s instead",
                directory.display(),
                self.settle.poll.as_secs_f32()
            ));
            self.polled.push(directory);
        }
    }

    /// Has [`next`](Self::next) say at once that everything is to be read again (SIGHUP).
    pub fn rescan(&mut self) {
        self.pending.ask_for_everything(Instant::now());
    }

    /// What there is to say about watching, such as directories that can only be polled; each
    /// thing once.
    pub fn notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// The next burst of changes. May be dropped and called again at any time: nothing is lost.
    pub async fn next(&mut self) -> Changes {
        loop {
            self.take_in();
            let now = Instant::now();
            if !self.polled.is_empty() && now >= self.polled_last + self.settle.poll {
                self.polled_last = now;
                let polled = self.polled.clone();
                polled
                    .into_iter()
                    .for_each(|path| self.pending.add(path, now));
            }
            let mut wake = None;
            if let Some(due) = self.pending.due(&self.settle) {
                if due <= now {
                    return self.pending.take();
                }
                wake = Some(due);
            }
            if !self.polled.is_empty() {
                let poll = self.polled_last + self.settle.poll;
                wake = Some(wake.map_or(poll, |wake| wake.min(poll)));
            }
            tokio::select! {
                () = readable(self.events.as_ref()) => {}
                () = until(wake) => {}
            }
        }
    }

    /// Takes in all events there are.
    fn take_in(&mut self) {
        let Some(events) = &mut self.events else {
            return;
        };
        let (directories, ways) = (self.list.directories(), self.list.ways());
        let counts =
            |directory: &Path, path: &Path| directories.contains(directory) || ways.contains(path);
        let (pending, now) = (&mut self.pending, Instant::now());
        let outcome = events.take_in(|seen| match seen {
            Seen::Lost => pending.lost(now),
            Seen::Path {
                directory,
                path,
                state,
            } => {
                if counts(directory, &path) {
                    pending.see(path, state, now);
                }
            }
        });
        if let Err(error) = outcome {
            self.note(format!(
                "cannot read file events ({error}): looking at files every {} s instead",
                self.settle.poll.as_secs_f32()
            ));
            self.events = None;
            let list = std::mem::take(&mut self.list);
            self.follow(&list);
            self.pending.lost(now);
        }
    }

    fn note(&mut self, text: String) {
        if self.noted.insert(text.clone()) {
            self.notes.push(text);
        }
    }
}

async fn readable(events: Option<&Events>) {
    match events {
        Some(events) => events.readable().await,
        None => std::future::pending().await,
    }
}

async fn until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}

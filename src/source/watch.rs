//! Tells that files changed.
//!
//! Must not read them.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::changes::Changes;
use super::manifest::ManifestInput;

/// How long bursts of events are collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settle {
    /// Events are handed out when none came for this long.
    pub quiet: Duration,
    /// And at the latest so long after the first one.
    pub at_most: Duration,
}

impl Default for Settle {
    /// 20 ms of quiet, 200 ms at most.
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(20),
            at_most: Duration::from_millis(200),
        }
    }
}

/// The directories that are to be watched for a set of arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchList {
    /// Directories, in the spelling that events are reported in.
    pub directories: Vec<PathBuf>,
}

impl WatchList {
    /// What to watch for an input, also while nothing of it exists yet.
    #[must_use]
    pub fn of_input(_input: &ManifestInput) -> Self {
        Self::default()
    }
}

/// Why nothing can be watched at all.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The kernel gives no inotify instance.
    #[error("cannot start watching files: {0}")]
    Start(io::Error),
}

/// Watches files and directories.
#[derive(Debug)]
pub struct Watcher {
    pending: Changes,
    settle: Settle,
}

impl Watcher {
    /// A watcher that watches nothing yet. To be called within a tokio runtime that has I/O and
    /// time enabled.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn new(settle: Settle) -> Result<Self, WatchError> {
        Ok(Self {
            pending: Changes::default(),
            settle,
        })
    }

    /// Watches what is in the list, and no longer what is not. To be called after every
    /// [`changed`](crate::agent::live::LiveSource::changed); costs nothing if the list is the same.
    pub fn follow(&mut self, _list: &WatchList) {}

    /// Has [`next`](Self::next) say that everything is to be read again (SIGHUP).
    pub fn rescan(&mut self) {
        self.pending.everything = true;
    }

    /// What there is to say about watching, such as directories that can only be polled.
    pub fn notes(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// The next burst of changes. May be dropped and called again at any time: nothing is lost.
    pub async fn next(&mut self) -> Changes {
        loop {
            tokio::time::sleep(self.settle.quiet).await;
            if !self.pending.is_empty() {
                return std::mem::take(&mut self.pending);
            }
        }
    }
}

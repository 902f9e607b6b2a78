//! Manifests that are watched: from changed files to what changed in the snapshot.

use std::path::{Path, PathBuf};

use super::cluster::{Cluster, LoadError, StateAccess};
use crate::config::ProxyConfig;
use crate::model::{Snapshot, SnapshotDelta};
use crate::source::changes::Changes;
use crate::source::manifest::{ManifestInput, Note};
use crate::source::watch::WatchList;

/// The manifests of a running agent.
#[derive(Debug)]
pub struct LiveSource {
    input: ManifestInput,
    config: ProxyConfig,
    state_dir: PathBuf,
    notes: Vec<Note>,
    failing: Option<String>,
    watch_list: WatchList,
}

impl LiveSource {
    /// Reads all manifests, allocates what they leave open and keeps it in the state directory,
    /// which stays locked for as long as this lives.
    ///
    /// # Errors
    /// As [`Cluster::load`].
    pub fn open(
        input: ManifestInput,
        config: &ProxyConfig,
        state_dir: &Path,
    ) -> Result<(Self, Snapshot), LoadError> {
        let cluster = Cluster::load(&input, config, state_dir, StateAccess::ReadOnly)?;
        let source = Self {
            watch_list: WatchList::of_input(&input),
            input,
            config: config.clone(),
            state_dir: state_dir.to_owned(),
            notes: cluster.notes,
            failing: None,
        };
        Ok((source, cluster.snapshot))
    }

    /// Reads again what changed, and tells what that changes in the snapshot.
    ///
    /// `current` is the snapshot that [`open`](Self::open) gave, with every delta applied that
    /// came since: the source keeps no second copy of it. The delta may be empty.
    ///
    /// # Errors
    /// The set of all manifests as it is now is refused; the state before stays in force and what
    /// changed is read again with the next call. The same refusal is reported once: while it
    /// lasts, calls return an empty delta and [`failing`](Self::failing) holds its text.
    pub fn changed(
        &mut self,
        _what: &Changes,
        current: &Snapshot,
    ) -> Result<SnapshotDelta, LoadError> {
        let loaded = Cluster::load(
            &self.input,
            &self.config,
            &self.state_dir,
            StateAccess::ReadOnly,
        );
        match loaded {
            Ok(cluster) => {
                self.failing = None;
                self.notes.extend(cluster.notes);
                Ok(SnapshotDelta::between(current, &cluster.snapshot))
            }
            Err(error) => {
                let text = error.to_string();
                if self.failing.as_ref() == Some(&text) {
                    return Ok(SnapshotDelta::default());
                }
                self.failing = Some(text);
                Err(error)
            }
        }
    }

    /// Why the manifests as they are now are not in force; `None` if they are.
    #[must_use]
    pub fn failing(&self) -> Option<&str> {
        self.failing.as_deref()
    }

    /// What was noted about manifests since the last call.
    pub fn notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// What a [`Watcher`](crate::source::watch::Watcher) is to follow.
    #[must_use]
    pub fn watch_list(&self) -> &WatchList {
        &self.watch_list
    }
}

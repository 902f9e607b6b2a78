//! Manifests that are watched: from changed files to what changed in the snapshot.

use std::path::Path;

use super::cluster::{LoadError, describe};
use crate::config::ProxyConfig;
use crate::model::allocate::{AllocationError, Allocations, Ledger, Ranges, ServiceAllocation};
use crate::model::{NamespacedName, Service, Snapshot, SnapshotDelta};
use crate::source::changes::Changes;
use crate::source::manifest::live::{LiveManifests, Staged};
use crate::source::manifest::{ManifestInput, Note};
use crate::source::state_dir::{LockMode, StateDir};
use crate::source::watch::WatchList;

/// The manifests of a running agent.
#[derive(Debug)]
pub struct LiveSource {
    manifests: LiveManifests,
    ledger: Ledger,
    /// Holding it holds the lock.
    state: StateDir,
    notes: Vec<Note>,
    failing: Option<String>,
}

impl LiveSource {
    /// Reads all manifests, allocates what they leave open and keeps it in the state directory,
    /// which stays locked for as long as this lives.
    ///
    /// # Errors
    /// As [`Cluster::load`](super::cluster::Cluster::load).
    pub fn open(
        input: ManifestInput,
        config: &ProxyConfig,
        state_dir: &Path,
    ) -> Result<(Self, Snapshot), LoadError> {
        let mut manifests = LiveManifests::new(input);
        let mut staged = manifests.stage(&Changes::everything())?;
        let mut state = StateDir::open(state_dir, LockMode::Exclusive)?;
        let previous = state.read()?;
        let mut ledger = Ledger::new(Ranges {
            cluster_ips: config.service_cidrs.clone(),
            node_ports: config.node_ports.clone(),
            balancers: config.balancer_pool.clone(),
        });
        let changed = ledger.change(&mut staged.services, &previous);
        changed.map_err(|errors| refused(&errors, &mut staged))?;
        state.replace_all(&allocations(&Snapshot::default(), &staged))?;
        ledger.keep();
        let notes = std::mem::take(&mut staged.notes);
        let mut snapshot = Snapshot::default();
        let delta = manifests.commit(staged, &snapshot);
        snapshot.apply(delta);
        let source = Self {
            manifests,
            ledger,
            state,
            notes,
            failing: None,
        };
        Ok((source, snapshot))
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
        what: &Changes,
        current: &Snapshot,
    ) -> Result<SnapshotDelta, LoadError> {
        match self.advance(what, current) {
            Ok(delta) => {
                self.failing = None;
                Ok(delta)
            }
            Err(error) => {
                self.ledger.undo();
                let text = error.to_string();
                if self.failing.as_ref() == Some(&text) {
                    return Ok(SnapshotDelta::default());
                }
                self.failing = Some(text);
                Err(error)
            }
        }
    }

    fn advance(&mut self, what: &Changes, current: &Snapshot) -> Result<SnapshotDelta, LoadError> {
        let mut staged = self.manifests.stage(what)?;
        if !staged.services.is_empty() {
            let held = staged.services.keys().filter_map(|name| {
                let record = ServiceAllocation::of(current.services.get(name)?)?;
                Some((name.clone(), record))
            });
            let previous = held.collect();
            let changed = self.ledger.change(&mut staged.services, &previous);
            let changed = changed.map_err(|errors| refused(&errors, &mut staged))?;
            // Before rules that use them are made: an address in the kernel is never one that
            // tomorrow's run would give to somebody else.
            let all = || allocations(current, &staged);
            self.state.append(changed, all)?;
            self.ledger.keep();
        }
        self.notes.append(&mut staged.notes);
        Ok(self.manifests.commit(staged, current))
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
        self.manifests.watch_list()
    }
}

/// What all Services hold after a change.
fn allocations(current: &Snapshot, staged: &Staged) -> Allocations {
    let record = |(name, service): (&NamespacedName, &Service)| {
        Some((name.clone(), ServiceAllocation::of(service)?))
    };
    let unchanged = current.services.iter();
    let unchanged = unchanged.filter(|(name, _)| !staged.services.contains_key(*name));
    let changed = staged.services.iter();
    let changed = changed.filter_map(|(name, service)| Some((name, service.as_ref()?)));
    unchanged.chain(changed).filter_map(record).collect()
}

fn refused(errors: &[AllocationError], staged: &mut Staged) -> LoadError {
    LoadError::Allocation {
        errors: describe(errors, &staged.origins),
        notes: std::mem::take(&mut staged.notes),
    }
}

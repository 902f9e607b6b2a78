//! From manifests to a snapshot whose every Service has its addresses.

use std::collections::BTreeMap;
use std::path::Path;

use crate::config::ProxyConfig;
use crate::model::allocate::{AllocationError, Allocations, Ranges, allocate};
use crate::model::{NamespacedName, Snapshot};
use crate::source::manifest::{ManifestErrors, ManifestInput, Note, Origin, load};
use crate::source::state_dir::{LockMode, StateDir, StateError};

/// Why manifests did not become a snapshot. Nothing was changed in any case.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The manifests are wrong.
    #[error(transparent)]
    Manifests(#[from] ManifestErrors),
    /// A Service asks for an address or port it cannot have; one text for each.
    #[error("{}", errors.join("\n"))]
    Allocation {
        /// What is wrong, worded as errors of manifests are.
        errors: Vec<String>,
        /// What was noted about the manifests.
        notes: Vec<Note>,
    },
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
}

/// What may happen to the state directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateAccess {
    /// Only looked at: nothing is locked, created or written.
    ReadOnly,
    /// Locked for as long as the [`Cluster`] lives; [`Cluster::keep_allocations`] writes to it.
    Keep,
}

/// Everything the manifests say, with addresses allocated.
#[derive(Debug)]
pub struct Cluster {
    /// The Services, endpoints and nodes.
    pub snapshot: Snapshot,
    /// What was skipped or only half understood, for the user.
    pub notes: Vec<Note>,
    allocations: Allocations,
    /// Set where allocations are to be kept; holding it holds the lock.
    state: Option<StateDir>,
    changed: bool,
}

impl Cluster {
    /// Reads manifests and allocates what they leave open.
    ///
    /// # Errors
    /// Any mistake in any manifest, an address that cannot be given, a state directory that cannot
    /// be read or locked.
    pub fn load(
        input: &ManifestInput,
        config: &ProxyConfig,
        state_dir: &Path,
        access: StateAccess,
    ) -> Result<Self, LoadError> {
        let mut manifests = load(input)?;
        let lock = match access {
            StateAccess::ReadOnly => LockMode::ReadOnly,
            StateAccess::Keep => LockMode::Exclusive,
        };
        let state = StateDir::open(state_dir, lock)?;
        let previous = state.read()?;
        let ranges = Ranges {
            cluster_ips: config.service_cidrs.clone(),
            node_ports: config.node_ports.clone(),
            balancers: config.balancer_pool.clone(),
        };
        let allocations =
            allocate(&mut manifests.services, &ranges, &previous).map_err(|errors| {
                LoadError::Allocation {
                    errors: describe(&errors, &manifests.origins),
                    notes: std::mem::take(&mut manifests.notes),
                }
            })?;
        let notes = std::mem::take(&mut manifests.notes);
        Ok(Self {
            snapshot: manifests.into_snapshot(),
            notes,
            state: (access == StateAccess::Keep).then_some(state),
            changed: allocations != previous,
            allocations,
        })
    }

    /// Writes the allocations down, before rules that use them are made: an address in the kernel
    /// is never one that tomorrow's run would give to somebody else.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub fn keep_allocations(&self) -> Result<(), StateError> {
        match &self.state {
            Some(state) if self.changed => state.write(&self.allocations),
            _ => Ok(()),
        }
    }
}

/// Words allocation errors as manifest errors are: file, document, object, field, reason.
pub(super) fn describe(
    errors: &[AllocationError],
    origins: &BTreeMap<NamespacedName, Origin>,
) -> Vec<String> {
    errors
        .iter()
        .map(|error| {
            let origin = origins.get(&error.service);
            let place = origin
                .map(|origin| format!("{origin}: "))
                .unwrap_or_default();
            format!(
                "{place}Service {}: {}: {}",
                error.service, error.field, error.reason
            )
        })
        .collect()
}

//! Manifests that change while they are in use: from changed files to a
//! [`SnapshotDelta`](crate::model::SnapshotDelta), at the cost of what changed.
//!
//! | file | idea |
//! | --- | --- |
//! | `listing`, `look` | which files there are, and which of them changed paths concern |
//! | `reading`, `unchanged` | which documents of a file changed |
//! | `file` | what is remembered of files |
//! | `stage`, `twice` | a new state without errors, not in force yet |
//! | `commit`, `slices`, `pods` | putting it in force; the slices of the Services it touches |
//!
//! Owns what is needed to undo a document: the names of the objects it holds. The objects are in
//! the snapshot, which the caller keeps; only pods are kept here. Must not allocate addresses. The
//! result is what [`load`](super::load) of the same files gives.

mod commit;
mod file;
mod listing;
mod look;
mod pods;
mod reading;
mod slices;
mod stage;
mod twice;
mod unchanged;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

pub use stage::Staged;

use super::ManifestInput;
use crate::model::{EndpointSlice, NamespacedName};
use crate::source::api::convert::Interner;
use crate::source::changes::Changes;
use crate::source::watch::WatchList;
use file::{File, FileKey, ObjectKey};
use listing::Arguments;
use pods::Pods;
use slices::MadeFrom;

/// The manifests in force.
#[derive(Debug, Default)]
pub struct LiveManifests {
    input: ManifestInput,
    arguments: Arguments,
    files: BTreeMap<FileKey, File>,
    /// Files that are symbolic links: what is behind them can change without their directory.
    links: BTreeSet<FileKey>,
    /// Every object that is defined.
    owned: HashSet<ObjectKey>,
    pods: Pods,
    /// Services whose slices are not EndpointSlices of the input.
    made: HashMap<NamespacedName, MadeFrom>,
    /// Slices of Endpoints objects where EndpointSlices of the input win.
    overruled: HashMap<NamespacedName, Vec<EndpointSlice>>,
    names: Interner,
    /// Strings shared after the last tidying.
    names_kept: usize,
    /// Changes that were seen and are not in force.
    dirty: Changes,
    watch_list: WatchList,
}

impl LiveManifests {
    /// Nothing is read yet: [`stage`](Self::stage) everything.
    #[must_use]
    pub fn new(input: ManifestInput) -> Self {
        Self {
            input,
            ..Self::default()
        }
    }

    /// The directories in which changes of these manifests show.
    #[must_use]
    pub fn watch_list(&self) -> &WatchList {
        &self.watch_list
    }

    /// Drops shared strings that nothing uses any more, when they may have become many.
    fn tidy(&mut self) {
        if self.names.len() > 2 * self.names_kept + 1000 {
            self.names.forget_unused();
            self.names_kept = self.names.len();
        }
    }
}

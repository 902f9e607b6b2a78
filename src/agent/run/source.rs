//! Where changes of the snapshot come from.

use crate::agent::cluster::LoadError;
use crate::agent::live::LiveSource;
use crate::model::{Snapshot, SnapshotDelta};
use crate::source::changes::Changes;
use crate::source::kubernetes::Batch;
use crate::source::kubernetes::live::News;
use crate::source::manifest::Note;
use crate::source::watch::WatchList;

/// What the loop asks of its source; [`LiveSource`] says what each method means for manifests,
/// [`Cluster`](super::cluster::Cluster) for the Kubernetes API.
pub(super) trait Source {
    fn changed(&mut self, what: &Changes, current: &Snapshot) -> Result<SnapshotDelta, LoadError>;
    fn failing(&self) -> Option<&str>;
    fn notes(&mut self) -> Vec<Note>;
    fn watch_list(&mut self) -> &WatchList;

    /// Takes what the watches sent; there is none of it but from the API.
    fn received(&mut self, batch: Batch, current: &Snapshot) -> News {
        drop((batch, current));
        News::default()
    }
}

impl Source for LiveSource {
    fn changed(&mut self, what: &Changes, current: &Snapshot) -> Result<SnapshotDelta, LoadError> {
        Self::changed(self, what, current)
    }

    fn failing(&self) -> Option<&str> {
        Self::failing(self)
    }

    fn notes(&mut self) -> Vec<Note> {
        Self::notes(self)
    }

    fn watch_list(&mut self) -> &WatchList {
        Self::watch_list(self)
    }
}

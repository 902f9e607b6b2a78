//! What the watches tell the loop.

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::resource::Resource;
use super::wire::Object;
use crate::model::NamespacedName;

/// News of one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// A complete list begins: what it does not name until [`Listed`](Self::Listed) is gone.
    Listing,
    /// An object that is there.
    Put {
        /// Its name.
        name: NamespacedName,
        /// The object; `None` for one that is no concern of a proxy.
        object: Option<Object>,
        /// Parts of it that cannot be used.
        flaw: Option<String>,
    },
    /// An object that went.
    Gone(NamespacedName),
    /// An object that is there and cannot be read: what was known of it stays in force.
    Malformed {
        /// Its name, if that can be read.
        name: Option<NamespacedName>,
        /// What is wrong with it.
        reason: String,
    },
    /// The list is complete.
    Listed,
    /// The list was broken off: nothing of it counts.
    BrokenOff,
    /// The server does not have the resource, or does not show it to us; not sent for those that
    /// rules need.
    Unavailable,
}

/// Updates that came together.
#[derive(Debug)]
pub struct Batch {
    /// What they are about.
    pub resource: Resource,
    /// In the order they came.
    pub updates: Vec<Update>,
    /// Until it is taken, the server is made to wait.
    _permit: Option<OwnedSemaphorePermit>,
}

/// How many batches may wait for the loop. Each is what one read gave: at most some hundred
/// kilobytes of text, of which a third is left when it is decoded.
pub(super) const WAITING: usize = 64;

impl Batch {
    /// Updates to be taken by the loop.
    pub(super) fn new(
        resource: Resource,
        updates: Vec<Update>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self {
            resource,
            updates,
            _permit: permit,
        }
    }
}

/// Room for batches.
pub(super) fn room() -> std::sync::Arc<Semaphore> {
    std::sync::Arc::new(Semaphore::new(WAITING))
}

//! Waiting for a descriptor without reading from it.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// What counts: an overrun of an empty netlink queue is an error without anything to read.
const INTEREST: Interest = Interest::READABLE.add(Interest::ERROR);

/// A descriptor whose readiness can be awaited.
#[derive(Debug)]
pub struct Readiness {
    inner: AsyncFd<OwnedFd>,
}

impl Readiness {
    /// Watches a descriptor; a duplicate of somebody else's will do. To be called within a tokio
    /// runtime that has I/O enabled.
    ///
    /// # Errors
    /// The system has no room for the watch.
    pub fn of(descriptor: OwnedFd) -> io::Result<Self> {
        // SAFETY: an `OwnedFd` keeps its descriptor open, and always names the same one, until it
        // is dropped; it is moved into `AsyncFd` and nothing takes it out or replaces it.
        let inner = unsafe { AsyncFd::register_with_interest(descriptor, INTEREST) }?;
        Ok(Self { inner })
    }

    /// Waits until there is something to read or an error. The next call waits for something new:
    /// read until nothing is left in between.
    ///
    /// # Errors
    /// The runtime ends.
    pub async fn wait(&self) -> io::Result<()> {
        // Cleared before the caller reads: what comes meanwhile is an edge of its own.
        self.inner.ready(INTEREST).await?.clear_ready();
        Ok(())
    }
}

//! The monitor for asynchronous callers.
//!
//! Owns the wait for the socket. Everything that is heard is the monitor's.

use std::io;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;

use super::{Heard, MonitorError, NftMonitor, Step};
use crate::kernel::Socket;

/// Datagrams to look at before other tasks get their turn.
const TURN: usize = 256;

/// A [`NftMonitor`] whose changes can be awaited.
#[derive(Debug)]
pub struct NftListener {
    monitor: AsyncFd<NftMonitor>,
}

impl NftListener {
    /// Takes a monitor, which may have been opened in another network namespace.
    ///
    /// # Errors
    /// No tokio runtime runs here, or the system has no room for the watch.
    ///
    /// # Panics
    /// The runtime was built without its I/O driver.
    pub fn new(monitor: NftMonitor) -> Result<Self, MonitorError> {
        let no_runtime = |error| MonitorError::io("watching it")(io::Error::other(error));
        Handle::try_current().map_err(no_runtime)?;
        // An overrun of an empty queue is an error condition without anything to read.
        let interest = Interest::READABLE | Interest::ERROR;
        // SAFETY: the descriptor is that of the socket the monitor owns; it is open, and the same
        // one, as long as the monitor lives, which nothing can take out of `AsyncFd` or replace:
        // its field is private and no method hands out `&mut NftMonitor`.
        let monitor = unsafe { AsyncFd::register_with_interest(monitor, interest) }
            .map_err(|error| MonitorError::io("watching it")(error.into()))?;
        Ok(Self { monitor })
    }

    /// See [`NftMonitor::ignore`].
    pub fn ignore(&mut self, writer: &Socket) {
        self.monitor.get_mut().ignore(writer);
    }

    /// See [`NftMonitor::heed`].
    pub fn heed(&mut self, port: u32) {
        self.monitor.get_mut().heed(port);
    }

    /// See [`NftMonitor::known`].
    pub fn known(&mut self, generation: u32) {
        self.monitor.get_mut().known(generation);
    }

    /// See [`NftMonitor::pause`].
    ///
    /// # Errors
    /// The socket failed.
    pub fn pause(&mut self) -> Result<(), MonitorError> {
        self.monitor.get_mut().pause()
    }

    /// See [`NftMonitor::resume`].
    ///
    /// # Errors
    /// The socket or `reader` failed.
    pub fn resume(&mut self, generation: u32, reader: &mut Socket) -> Result<(), MonitorError> {
        self.monitor.get_mut().resume(generation, reader)
    }

    /// See [`NftMonitor::last_generation`].
    #[must_use]
    pub fn last_generation(&self) -> Option<u32> {
        self.monitor.get_ref().last_generation()
    }

    /// See [`NftMonitor::try_recv`].
    ///
    /// # Errors
    /// The socket failed.
    pub fn try_recv(&mut self) -> Result<Option<Heard>, MonitorError> {
        self.monitor.get_mut().try_recv()
    }

    /// Waits until there is something to tell. Nothing is lost if the wait is given up.
    ///
    /// # Errors
    /// The socket failed.
    pub async fn heard(&mut self) -> Result<Heard, MonitorError> {
        loop {
            if let Some(heard) = self.turn().await? {
                return Ok(heard);
            }
            let ready = self.monitor.ready_mut(Interest::READABLE | Interest::ERROR);
            let mut ready = ready.await.map_err(MonitorError::io("waiting"))?;
            // Cleared before the queue is emptied, so that what comes meanwhile is noticed.
            ready.clear_ready();
        }
    }

    /// Looks at the queue until there is something to tell, or it is empty.
    async fn turn(&mut self) -> Result<Option<Heard>, MonitorError> {
        loop {
            for _ in 0..TURN {
                match self.monitor.get_mut().step()? {
                    Step::Heard(heard) => return Ok(Some(heard)),
                    Step::Nothing => {}
                    Step::Empty => return Ok(None),
                }
            }
            tokio::task::yield_now().await;
        }
    }
}

//! Hearing what other programs do to what is ours, in the modes that follow changes.
//!
//! Turns notifications into what the loop acts on. Must not know which tables a mode has, and must
//! not repair.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::agent::repair;
use crate::agent::run::programmer::Foreign;
use crate::kernel::Socket;
use crate::kernel::nft::{Heard, Interest, MonitorError, NftMonitor};

/// The monitor of one programmer.
#[derive(Debug)]
pub(super) struct Hearing {
    monitor: NftMonitor,
}

impl Hearing {
    /// Listens to what is of interest; what `writer` does is not heard. Says so and goes on without
    /// where listening is impossible.
    pub(super) fn open(interest: Interest, writer: &Socket) -> Option<Self> {
        let mut monitor = match NftMonitor::open(interest) {
            Ok(monitor) => monitor,
            Err(error) => {
                tracing::warn!(%error, "changes by other programs are looked for, not heard");
                return None;
            }
        };
        monitor.ignore(writer);
        Some(Self { monitor })
    }

    /// A duplicate of the monitor's descriptor.
    pub(super) fn descriptor(&self) -> io::Result<OwnedFd> {
        self.monitor.as_fd().try_clone_to_owned()
    }

    /// Stops listening for the time of a large commit.
    pub(super) fn pause(&mut self) -> Result<(), MonitorError> {
        self.monitor.pause()
    }

    /// Listens again; everything up to `generation` is known.
    pub(super) fn resume(
        &mut self,
        generation: u32,
        reader: &mut Socket,
    ) -> Result<(), MonitorError> {
        self.monitor.resume(generation, reader)
    }

    /// Everything heard since the last call.
    pub(super) fn heard(&mut self) -> Result<Vec<Foreign>, MonitorError> {
        let mut all = Vec::new();
        while let Some(heard) = self.monitor.try_recv()? {
            match heard {
                Heard::Transaction(transaction) => {
                    let told = repair::told(&transaction);
                    all.push(Foreign {
                        damage: told.first().map_or("unknown", repair::Told::label),
                        text: repair::by(&transaction),
                    });
                }
                Heard::Overrun => all.push(Foreign {
                    damage: "overrun",
                    text: "more changes of nf_tables than could be heard".to_owned(),
                }),
            }
        }
        Ok(all)
    }

    /// The generation that the last foreign transaction heard has made, whatever it was about.
    pub(super) fn last_generation(&self) -> Option<u32> {
        self.monitor.last_generation()
    }
}

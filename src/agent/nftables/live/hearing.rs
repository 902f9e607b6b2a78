//! Hearing what other programs do to our tables.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use crate::agent::repair;
use crate::agent::run::programmer::Foreign;
use crate::kernel::Socket;
use crate::kernel::nft::{Heard, Interest, MonitorError, NftMonitor};
use crate::model::IpFamily;
use crate::plan::op::TableRef;
use crate::translate::nftables::TABLE;

/// The monitor of one programmer, or the reason why there is none.
#[derive(Debug)]
pub(super) struct Hearing {
    monitor: NftMonitor,
}

impl Hearing {
    /// Listens to the tables of these families; what `writer` does is not heard.
    pub(super) fn open(families: &[IpFamily], writer: &Socket) -> Result<Self, MonitorError> {
        let interest = families.iter().fold(Interest::new(), |interest, family| {
            interest.table(TableRef {
                family: *family,
                name: TABLE.into(),
            })
        });
        let mut monitor = NftMonitor::open(interest)?;
        monitor.ignore(writer);
        Ok(Self { monitor })
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
}

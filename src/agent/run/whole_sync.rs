//! A programmer that compares the whole kernel state at every change: the iptables mode.
//!
//! The kernel's own cost in that mode grows with the table anyhow. Only what differs is written,
//! so connections are left alone.

use std::time::Instant;

use super::programmer::{ProgramError, Programmed, Programmer, Resync, Size};
use crate::agent::facts::NodeFacts;
use crate::agent::program::{Program, Settings};
use crate::agent::sync::{self, Comparison, Done};
use crate::config::ProxyConfig;
use crate::kernel::Socket;
use crate::model::{IpFamily, Snapshot, Touched};
use crate::plan::diff::DesiredState;
use crate::plan::xtables::rule::XtTable;

/// Programs iptables rules over a socket of the namespace it was opened in.
#[derive(Debug)]
pub struct WholeSync {
    socket: Socket,
    config: ProxyConfig,
    facts: NodeFacts,
    /// The generation of nf_tables at which everything was as it should be.
    generation: Option<u32>,
}

impl WholeSync {
    /// A programmer for the network namespace that the calling thread is in, from then on.
    ///
    /// # Errors
    /// No permission, or a question the kernel does not answer.
    pub fn new(mut socket: Socket, config: &ProxyConfig) -> Result<Self, ProgramError> {
        Ok(Self {
            facts: NodeFacts::probe(&mut socket)?,
            socket,
            config: config.clone(),
            generation: None,
        })
    }

    fn sync(&mut self, snapshot: &Snapshot) -> Result<Programmed, ProgramError> {
        self.generation = None;
        self.facts = NodeFacts::probe(&mut self.socket)?;
        let settings = Settings::new(snapshot, &self.config, &self.facts);
        let program = Program::new(snapshot, &settings);
        let desired = program.desired();
        let comparison = sync::compare(&mut self.socket, &desired).map_err(sync::SyncError::from)?;
        let sizes = desired.iter().flat_map(sizes).collect();
        drop(desired);
        settings.prerequisites().ensure(&mut self.socket)?;
        let mut done = self.commit(comparison, |socket, comparison| {
            program.commit(socket, comparison)
        })?;
        done.sizes = sizes;
        Ok(done)
    }

    fn commit(
        &mut self,
        comparison: Comparison,
        commit: impl FnOnce(&mut Socket, Comparison) -> Result<Done, sync::SyncError>,
    ) -> Result<Programmed, ProgramError> {
        let read = comparison.generation;
        if comparison.is_equal() {
            self.generation = Some(read);
            return Ok(Programmed {
                full: true,
                ..Programmed::default()
            });
        }
        let started = Instant::now();
        let done = commit(&mut self.socket, comparison)?;
        // Each transaction counts the generation up by one. Anything beyond that is somebody
        // else's, or an attempt that was repeated: reason enough to look again.
        let own = u32::try_from(done.transactions).unwrap_or(u32::MAX);
        self.generation = Some(read.wrapping_add(own));
        Ok(Programmed {
            transactions: done.transactions,
            messages: done.messages,
            bytes: done.bytes,
            commit_time: started.elapsed(),
            full: true,
            sizes: Vec::new(),
        })
    }
}

impl Programmer for WholeSync {
    fn families(&self) -> &[IpFamily] {
        &self.facts.families
    }

    fn start(&mut self, snapshot: &Snapshot) -> Result<Programmed, ProgramError> {
        self.sync(snapshot)
    }

    fn update(
        &mut self,
        snapshot: &Snapshot,
        _touched: &Touched,
    ) -> Result<Programmed, ProgramError> {
        self.sync(snapshot)
    }

    fn resync(&mut self, snapshot: &Snapshot, _why: Resync) -> Result<Programmed, ProgramError> {
        self.sync(snapshot)
    }

    fn disturbed(&mut self) -> Result<bool, ProgramError> {
        let Some(synced) = self.generation else {
            return Ok(true);
        };
        let present = self
            .socket
            .generation()
            .map_err(|error| ProgramError::Other(Box::new(error)))?;
        Ok(present != synced || NodeFacts::probe(&mut self.socket)? != self.facts)
    }

    fn cleanup(&mut self) -> Result<Programmed, ProgramError> {
        let comparison = sync::compare_for_cleanup(&mut self.socket, &IpFamily::ALL)
            .map_err(sync::SyncError::from)?;
        self.commit(comparison, sync::clean_up)
    }
}

/// How many rules each table has, by the names of kube-proxy's metrics.
fn sizes(desired: &DesiredState) -> Vec<Size> {
    let tables = [(XtTable::Filter, "filter"), (XtTable::Nat, "nat")];
    let size = |(table, part)| Size {
        family: desired.family(),
        part,
        count: desired.rules_of(table),
    };
    tables.into_iter().map(size).collect()
}

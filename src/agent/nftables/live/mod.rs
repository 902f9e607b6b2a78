//! Following changes: tables held in memory, of which only what a change touches is translated,
//! planned and committed.
//!
//! Owns the netlink socket of the mode, the tables as the kernel holds them, and the ear for what
//! other programs do to them. Nothing is listed on the way of a change, and no cost of it grows
//! with the number of Services. Must not decide when to program: the loop does.

mod adoption;
mod sizes;
mod whole;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;

pub use self::adoption::LiveComparison;
use super::backend::Nftables;
use super::memory::Stale;
use crate::agent::backend::Backend;
use crate::agent::cleanup::Removal;
use crate::agent::facts::NodeFacts;
use crate::agent::hearing::Hearing;
use crate::agent::run::programmer::{Foreign, ProgramError, Programmed, Programmer, Resync};
use crate::agent::sync::{Done, Load, SyncError};
use crate::config::ProxyConfig;
use crate::kernel::Socket;
use crate::kernel::nft::{CommitError, Interest, NftKernel};
use crate::model::{IpFamily, Snapshot, Touched};
use crate::plan::nftables::{NftRuleset, TableDelta};
use crate::plan::op::TableRef;
use crate::translate::nftables::{LiveTable, Replacement, TABLE, Update};

/// Programs the nftables mode over a socket, in the namespace that it was opened in.
#[derive(Debug)]
pub struct LiveSync {
    socket: Socket,
    config: ProxyConfig,
    take_over: bool,
    facts: NodeFacts,
    backend: Option<Nftables>,
    /// By family, as the kernel holds them; empty when that is not certain.
    tables: Vec<LiveTable>,
    /// Elements by family and set.
    sizes: BTreeMap<(IpFamily, &'static str), usize>,
    hearing: Option<Hearing>,
    /// The generation after the last sync.
    generation: u32,
    /// The own Node object, without the rest of the cluster.
    node: Snapshot,
    /// What users were warned of.
    warned: Vec<String>,
}

impl LiveSync {
    /// A programmer for the network namespace that the calling thread is in, from then on. With
    /// `take_over`, rules of another proxy go in the transaction that brings ours.
    ///
    /// # Errors
    /// No permission, or a question the kernel does not answer.
    pub fn new(
        mut socket: Socket,
        config: &ProxyConfig,
        take_over: bool,
    ) -> Result<Self, ProgramError> {
        let facts = NodeFacts::probe(&mut socket)?;
        let interest = facts.families.iter().fold(Interest::new(), |all, family| {
            all.table(TableRef {
                family: *family,
                name: TABLE.into(),
            })
        });
        let hearing = Hearing::open(interest, &socket);
        Ok(Self {
            socket,
            config: config.clone(),
            take_over,
            facts,
            backend: None,
            tables: Vec::new(),
            sizes: BTreeMap::new(),
            hearing,
            generation: 0,
            node: Snapshot::default(),
            warned: Vec::new(),
        })
    }

    /// Follows a change in memory; `None` if a table has to be written anew.
    fn follow(&mut self, snapshot: &Snapshot, touched: &Touched) -> Option<Vec<Update>> {
        if !touched.nodes.contains(&self.config.node_name) && !touched.service_cidrs {
            let tables = self.tables.iter_mut();
            let updates = tables.map(|table| table.update(snapshot, &touched.services));
            return Some(updates.collect());
        }
        let backend = Nftables::new(snapshot, &self.config, &self.facts);
        let mut updates = Vec::new();
        for (table, options) in self.tables.iter_mut().zip(backend.options()) {
            match table.replace(snapshot, options.clone()) {
                Replacement::Update(update) => updates.push(update),
                Replacement::Table => return None,
            }
        }
        self.keep(snapshot, backend);
        Some(updates)
    }

    /// Commits deltas in one transaction. Whoever else changed our tables meanwhile is heard of,
    /// so it need not be bound to a generation.
    fn commit(&mut self, deltas: &[&TableDelta]) -> Result<Programmed, SyncError> {
        let started = Instant::now();
        let mut done = Done::default();
        let elements = |delta: &&TableDelta| {
            let counts = delta.counts();
            counts.elements_added + counts.elements_deleted
        };
        let mut load = Load::new(&mut self.socket, None, &mut done);
        for delta in deltas {
            delta.ops(&mut |step| load.take(step))?;
        }
        load.flush()?;
        if let Some(generation) = done.generation {
            self.generation = generation;
        }
        tracing::debug!(
            elements = deltas.iter().map(elements).sum::<usize>(),
            "programmed"
        );
        Ok(programmed(done, started))
    }
}

impl Programmer for LiveSync {
    fn families(&self) -> &[IpFamily] {
        &self.facts.families
    }

    fn start(&mut self, snapshot: &Snapshot) -> Result<Programmed, ProgramError> {
        self.sync(snapshot)
    }

    fn update(
        &mut self,
        snapshot: &Snapshot,
        touched: &Touched,
    ) -> Result<Programmed, ProgramError> {
        if self.tables.is_empty() {
            return self.sync(snapshot);
        }
        let Some(updates) = self.follow(snapshot, touched) else {
            return self.sync(snapshot);
        };
        let deltas: Vec<&TableDelta> = updates
            .iter()
            .map(|update| &update.delta)
            .filter(|delta| !delta.is_empty())
            .collect();
        if deltas.is_empty() {
            return Ok(Programmed::default());
        }
        let done = match self.commit(&deltas) {
            Ok(done) => done,
            Err(SyncError::Commit(error @ CommitError::Refused { .. })) => {
                // Somebody has been at our tables, and the news is still on its way.
                tracing::debug!(%error, "comparing everything");
                return self.sync(snapshot);
            }
            Err(error) => {
                self.tables.clear();
                return Err(error.into());
            }
        };
        for delta in deltas {
            self.recount(delta);
        }
        for (table, update) in self.tables.iter().zip(&updates) {
            if table.has_affinity() {
                Stale::of_update(table.table(), update).forget(&mut self.socket);
            }
        }
        Ok(Programmed {
            sizes: self.sizes(),
            ..done
        })
    }

    fn resync(&mut self, snapshot: &Snapshot, _why: Resync) -> Result<Programmed, ProgramError> {
        self.sync(snapshot)
    }

    fn wakes(&self) -> Option<io::Result<OwnedFd>> {
        self.hearing.as_ref().map(Hearing::descriptor)
    }

    fn listen(&mut self) -> Result<Vec<Foreign>, ProgramError> {
        match &mut self.hearing {
            Some(hearing) => hearing.heard().map_err(other),
            None => Ok(Vec::new()),
        }
    }

    fn disturbed(&mut self) -> Result<bool, ProgramError> {
        if self.tables.is_empty() {
            return Ok(true);
        }
        if self.hearing.is_none() {
            let generation = self.socket.generation().map_err(SyncError::from)?;
            if generation != self.generation {
                return Ok(true);
            }
        }
        let facts = NodeFacts::probe(&mut self.socket)?;
        let now = Nftables::new(&self.node, &self.config, &facts);
        Ok(self.backend.as_ref() != Some(&now))
    }

    fn cleanup(&mut self) -> Result<Programmed, ProgramError> {
        self.tables.clear();
        let started = Instant::now();
        let removal = Removal::find(&mut self.socket).map_err(SyncError::from)?;
        if removal.is_empty() {
            return Ok(Programmed::default());
        }
        Ok(programmed(removal.commit(&mut self.socket)?, started))
    }
}

fn programmed(done: Done, started: Instant) -> Programmed {
    Programmed {
        transactions: done.transactions,
        messages: done.messages,
        bytes: done.bytes,
        commit_time: started.elapsed(),
        ..Programmed::default()
    }
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> ProgramError {
    ProgramError::Other(Box::new(error))
}

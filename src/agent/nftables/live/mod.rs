//! Following changes: tables held in memory, of which only what a change touches is translated,
//! planned and committed.
//!
//! Owns the netlink socket of the mode, the tables as the kernel holds them, and the ear for what
//! other programs do to them. Nothing is listed on the way of a change, and no cost of it grows
//! with the number of Services. Must not decide when to program: the loop does.

mod adoption;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

pub use self::adoption::LiveComparison;
use super::backend::Nftables;
use super::memory::Stale;
use crate::agent::backend::{Backend, Outcome};
use crate::agent::cleanup::Removal;
use crate::agent::facts::NodeFacts;
use crate::agent::hearing::Hearing;
use crate::agent::run::programmer::{Foreign, ProgramError, Programmed, Programmer, Resync, Size};
use crate::agent::sync::{Done, Load, SyncError, until_done};
use crate::config::ProxyConfig;
use crate::kernel::nft::{CommitError, Interest, NftKernel, READ_PATIENCE, ReadError};
use crate::kernel::{Socket, memory};
use crate::model::{IpFamily, Snapshot, Touched};
use crate::plan::diff::Step;
use crate::plan::nftables::{NftRuleset, TableDelta};
use crate::plan::op::{Op, TableRef};
use crate::translate::nftables::{LiveTable, Replacement, SetId, TABLE, Update};

/// How long other programs may get in the way of reading while service is missing.
const REPAIR_PATIENCE: Duration = Duration::from_secs(1);

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

    /// Compares everything with the kernel, and changes what differs.
    fn sync(&mut self, snapshot: &Snapshot) -> Result<Programmed, ProgramError> {
        self.facts = NodeFacts::probe(&mut self.socket)?;
        let backend = Nftables::new(snapshot, &self.config, &self.facts);
        backend.prerequisites().ensure(&mut self.socket)?;
        self.tables.clear();
        // What is told of a large load would cost more than the load.
        if let Some(hearing) = &mut self.hearing {
            hearing.pause().map_err(other)?;
        }
        let outcome = match self.adopt(snapshot, &backend) {
            Err(error) if self.backend.is_some() && is_disturbed(&error) => {
                tracing::info!("{error}: writing all without reading");
                self.replace(snapshot, &backend)
            }
            outcome => outcome,
        };
        if let Some(hearing) = &mut self.hearing {
            let resumed = hearing.resume(self.generation, &mut self.socket);
            resumed.map_err(other)?;
        }
        let done = outcome?;
        self.keep(snapshot, backend);
        self.count();
        memory::give_back();
        Ok(Programmed {
            full: true,
            sizes: self.sizes(),
            ..done
        })
    }

    fn adopt(
        &mut self,
        snapshot: &Snapshot,
        backend: &Nftables,
    ) -> Result<Programmed, ProgramError> {
        let (options, take_over) = (backend.options(), self.take_over);
        // Once running, tables that cannot be read are written whole instead.
        let patience = if self.backend.is_some() {
            REPAIR_PATIENCE
        } else {
            READ_PATIENCE
        };
        let socket = &mut self.socket;
        let comparison = LiveComparison::new(socket, snapshot, options, take_over, patience)
            .map_err(SyncError::from)?;
        let competitors = comparison.competitors();
        let started = Instant::now();
        let generation = crate::agent::sync::Comparison::generation(&comparison);
        let stale: Vec<_> = comparison.changes().map(Stale::of_delta).collect();
        let (done, comparison) = until_done(socket, comparison, |socket| {
            LiveComparison::new(socket, snapshot, options, take_over, patience)
        })?;
        // The last transaction's own, or that of the reading if there was none.
        self.generation = done.generation.unwrap_or(generation);
        for stale in stale {
            // A generation that is not the next one means that somebody else was in between.
            let after = stale.forget(socket);
            if after == Some(self.generation.wrapping_add(1)) {
                self.generation = self.generation.wrapping_add(1);
            }
        }
        self.tables = comparison.into_tables();
        self.warn(competitors);
        Ok(programmed(done, started))
    }

    /// Writes the tables whole, whatever the kernel holds: where other programs commit faster than
    /// tables are read, nothing else comes to an end. Rules of another proxy were seen to at the
    /// start.
    fn replace(
        &mut self,
        snapshot: &Snapshot,
        backend: &Nftables,
    ) -> Result<Programmed, ProgramError> {
        let options = backend.options().iter().cloned();
        let tables: Vec<_> = options.map(|o| LiveTable::new(snapshot, o)).collect();
        let started = Instant::now();
        let mut done = Done::default();
        let mut load = Load::new(&mut self.socket, None, &mut done);
        for table in &tables {
            load.begin_family()?;
            // Only what is there can be deleted.
            load.take(Step::Op(Op::AddTable(table.table())))?;
            table.load(true, &mut |step| load.take(step))?;
        }
        load.flush()?;
        if let Some(generation) = done.generation {
            self.generation = generation;
        }
        self.tables = tables;
        Ok(programmed(done, started))
    }

    /// Says once what the user should know.
    fn warn(&mut self, competitors: Vec<String>) {
        let competitors = competitors.into_iter();
        let mut all: Vec<_> = competitors
            .map(|what| format!("{what}: rules of another proxy; --take-over replaces them"))
            .collect();
        for conflict in self.tables.iter().flat_map(LiveTable::conflicts) {
            if !all.contains(&conflict.to_string()) {
                all.push(conflict.to_string());
            }
        }
        for what in all.iter().filter(|what| !self.warned.contains(what)) {
            tracing::warn!("{what}");
        }
        self.warned = all;
    }

    /// Remembers what [`disturbed`](Programmer::disturbed) and node changes are measured by.
    fn keep(&mut self, snapshot: &Snapshot, backend: Nftables) {
        let own = snapshot.nodes.get_key_value(&self.config.node_name);
        let own = own.map(|(name, node)| (name.clone(), node.clone()));
        self.node.nodes = own.into_iter().collect();
        self.backend = Some(backend);
    }

    /// Follows a change in memory; `None` if a table has to be written anew.
    fn follow(&mut self, snapshot: &Snapshot, touched: &Touched) -> Option<Vec<Update>> {
        if !touched.nodes.contains(&self.config.node_name) {
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

    fn count(&mut self) {
        self.sizes.clear();
        for table in &self.tables {
            let family = table.options().family;
            for name in SetId::FIXED.iter().filter_map(|set| part(&set.name())) {
                self.sizes.insert((family, name), 0);
            }
            table.for_each_element(&mut |set, _| {
                if let Some(name) = part(set) {
                    *self.sizes.entry((family, name)).or_default() += 1;
                }
            });
        }
    }

    fn recount(&mut self, delta: &TableDelta) {
        for change in &delta.elements {
            if let Some(name) = part(&change.set) {
                let count = self.sizes.entry((delta.table.family, name)).or_default();
                *count = (*count + change.added.len()).saturating_sub(change.deleted.len());
            }
        }
    }

    fn sizes(&self) -> Vec<Size> {
        let all = self.sizes.iter();
        all.map(|((family, part), count)| Size {
            family: *family,
            part,
            count: *count,
        })
        .collect()
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

/// Other programs commit faster than this one can read.
fn is_disturbed(error: &ProgramError) -> bool {
    matches!(
        error,
        ProgramError::Sync(SyncError::Busy | SyncError::Read(ReadError::Unstable { .. }))
    )
}

/// The set's name for ever, if it is one of those that are always there.
fn part(set: &str) -> Option<&'static str> {
    SetId::FIXED
        .into_iter()
        .find_map(|known| match known.name() {
            Cow::Borrowed(name) if name == set => Some(name),
            _ => None,
        })
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

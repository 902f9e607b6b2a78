//! Everything at once: at the start, after damage, and when a change cannot be followed.
//!
//! Owns the comparison with the kernel and the way out where that does not come to an end. Must not
//! be on the way of a change that can be followed.

use std::time::{Duration, Instant};

use super::{LiveComparison, LiveSync, other, programmed};
use crate::agent::backend::{Backend, Outcome};
use crate::agent::facts::NodeFacts;
use crate::agent::nftables::backend::Nftables;
use crate::agent::nftables::memory::Stale;
use crate::agent::run::programmer::{ProgramError, Programmed};
use crate::agent::sync::{Comparison, Done, Load, SyncError, until_done};
use crate::kernel::memory;
use crate::kernel::nft::{READ_PATIENCE, ReadError};
use crate::model::Snapshot;
use crate::plan::diff::Step;
use crate::plan::nftables::NftRuleset;
use crate::plan::op::Op;
use crate::translate::nftables::LiveTable;

/// How long other programs may get in the way of reading while service is missing.
const REPAIR_PATIENCE: Duration = Duration::from_secs(1);

impl LiveSync {
    /// Compares everything with the kernel, and changes what differs.
    pub(super) fn sync(&mut self, snapshot: &Snapshot) -> Result<Programmed, ProgramError> {
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

    pub(super) fn adopt(
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
        let generation = Comparison::generation(&comparison);
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
    pub(super) fn replace(
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
    pub(super) fn warn(&mut self, competitors: Vec<String>) {
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
    pub(super) fn keep(&mut self, snapshot: &Snapshot, backend: Nftables) {
        let own = snapshot.nodes.get_key_value(&self.config.node_name);
        let own = own.map(|(name, node)| (name.clone(), node.clone()));
        self.node.nodes = own.into_iter().collect();
        self.node.service_cidrs.clone_from(&snapshot.service_cidrs);
        self.backend = Some(backend);
    }
}

/// Other programs commit faster than this one can read.
fn is_disturbed(error: &ProgramError) -> bool {
    matches!(
        error,
        ProgramError::Sync(SyncError::Busy | SyncError::Read(ReadError::Unstable { .. }))
    )
}

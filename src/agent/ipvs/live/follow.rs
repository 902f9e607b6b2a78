//! One change: what it touches is translated, and the kernel brought from what it holds to that.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Instant;

use super::{LiveSync, programmed, sizes};
use crate::agent::ipvs::backend::take;
use crate::agent::ipvs::drain::Drains;
use crate::agent::run::programmer::{ProgramError, Programmed};
use crate::agent::sync::{Done, Load, SyncError};
use crate::kernel::nft::NftKernel;
use crate::model::{Snapshot, Touched};
use crate::plan::ipvs::{Plan, PresentReal, PresentServer, Server, ServerKey, Step, between};
use crate::translate::ipvs::{IpvsTable, TableUpdate};

impl LiveSync {
    /// Follows a change; whatever goes wrong, everything is compared next time.
    pub(super) fn follow(
        &mut self,
        snapshot: &Snapshot,
        touched: &Touched,
    ) -> Result<Programmed, ProgramError> {
        let Some(mut tables) = self.tables.take() else {
            return self.sync(snapshot);
        };
        let started = Instant::now();
        let config = &self.config.ipvs;
        let linger = config.drain_services && !config.drain_timeout.is_zero();
        let mut updates = Vec::new();
        for table in &mut tables {
            let update = table.update(snapshot, &touched.services, linger);
            if self.meets_strangers(table, &update)? {
                // A comparison finds out whose they are.
                return self.sync(snapshot);
            }
            updates.push(update);
        }
        for mistake in updates.iter().flat_map(|update| &update.mistakes) {
            tracing::warn!("{mistake}");
        }
        let mut done = Done::default();
        self.program(&updates, &mut done)?;
        self.release(&mut tables, &mut done)?;
        let counted = done != Done::default();
        let mut programmed = programmed(done, started.elapsed());
        if counted && touched.services.len() > 1 {
            programmed.sizes = sizes(&tables);
        }
        self.tables = Some(tables);
        self.watch.rearm(&self.drains, false);
        Ok(programmed)
    }

    /// Whether there are virtual servers already where new ones are to be, at addresses that are not
    /// the device's.
    fn meets_strangers(
        &mut self,
        table: &IpvsTable,
        update: &TableUpdate,
    ) -> Result<bool, SyncError> {
        let new = update.servers.iter().filter(|(_, (old, _))| old.is_none());
        for (key, _) in new.filter(|(key, _)| !table.is_bound(key.address)) {
            if self.ipvs.exists(key)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn program(&mut self, updates: &[TableUpdate], done: &mut Done) -> Result<(), SyncError> {
        let added = updates.iter().map(|update| &update.added);
        write(&mut self.socket, added, done)?;
        let drain = !self.config.ipvs.drain_timeout.is_zero();
        let plan = steps(updates, &mut self.drains, drain);
        let refused = take(&mut self.ipvs, &plan.steps)?;
        done.messages += plan.steps.len();
        done.transactions += usize::from(!plan.steps.is_empty());
        self.drains
            .wait(plan.retired.iter().copied(), Instant::now());
        if !refused.is_empty() {
            return Err(SyncError::Steps { refused });
        }
        let deleted = updates.iter().map(|update| &update.deleted);
        write(&mut self.socket, deleted, done)?;
        if !plan.retired.is_empty() {
            let only = Some(plan.retired.as_slice());
            let drained = self.drains.look(&mut self.ipvs, only, Instant::now())?;
            done.messages += drained.steps;
        }
        Ok(())
    }

    /// Lets go of virtual servers that were kept for connections which have ended.
    fn release(&mut self, tables: &mut [IpvsTable], done: &mut Done) -> Result<(), SyncError> {
        let mut updates = Vec::new();
        for table in tables {
            let idle = table.lingering().copied();
            let idle: Vec<_> = idle
                .filter(|key| self.drains.of(key).next().is_none())
                .collect();
            if !idle.is_empty() {
                updates.push(table.release(&idle));
            }
        }
        if updates.is_empty() {
            return Ok(());
        }
        self.program(&updates, done)
    }

    /// Deletes real servers whose connections have ended, and what was kept for them.
    pub(super) fn look_at_drains(&mut self) -> Result<(), ProgramError> {
        if !self.drains.is_empty() {
            let drained = self.drains.look(&mut self.ipvs, None, Instant::now());
            let drained = drained.map_err(SyncError::from)?;
            for refused in &drained.refused {
                tracing::warn!("{refused}; trying again");
            }
        }
        let Some(mut tables) = self.tables.take() else {
            return Ok(());
        };
        let mut done = Done::default();
        self.release(&mut tables, &mut done)?;
        self.tables = Some(tables);
        Ok(())
    }
}

/// Commits changes of tables, if there are any.
fn write<'a, K: NftKernel>(
    kernel: &mut K,
    deltas: impl Iterator<Item = &'a crate::plan::nftables::TableDelta>,
    done: &mut Done,
) -> Result<(), SyncError> {
    let mut load = Load::new(kernel, None, done);
    for delta in deltas {
        delta.ops(&mut |step| load.take(step))?;
    }
    load.flush()
}

/// The steps of a change, in the order that a comparison would give them.
pub(super) fn steps(updates: &[TableUpdate], drains: &mut Drains, drain: bool) -> Plan {
    let mut plan = Plan::default();
    let mut changed = Plan::default();
    for update in updates {
        let gone = update.addresses_deleted.iter();
        plan.steps.extend(gone.map(|ip| Step::DeleteAddress(*ip)));
    }
    for (key, change) in updates.iter().flat_map(|update| &update.servers) {
        match change {
            (Some(_), None) => {
                plan.steps.push(Step::DeleteServer(*key));
                drains.server_gone(key);
            }
            (old, Some(new)) => {
                let there = old.as_ref().map(|old| there(key, old, drains));
                for socket in new.reals.keys() {
                    drains.returned(key, *socket);
                }
                between(key, new, there.as_ref(), drain, &mut changed);
            }
            (None, None) => {}
        }
    }
    plan.steps.append(&mut changed.steps);
    plan.retired = changed.retired;
    for update in updates {
        let new = update.addresses_added.iter();
        plan.steps.extend(new.map(|ip| Step::AddAddress(*ip)));
    }
    plan
}

/// What the kernel holds of a virtual server, by all that is known: its real servers, which may
/// have connections, and those that wait.
fn there(key: &ServerKey, old: &Server, drains: &Drains) -> PresentServer {
    let real = |weight| PresentReal {
        weight,
        usual: true,
        connections: 1,
    };
    let mut reals: BTreeMap<SocketAddr, PresentReal> =
        drains.of(key).map(|socket| (socket, real(0))).collect();
    let wanted = old.reals.iter();
    reals.extend(wanted.map(|(socket, weight)| (*socket, real(*weight))));
    PresentServer {
        spec: Some(old.spec.clone()),
        reals,
    }
}

//! Everything at once: compared with the kernel and brought there, at the start and whenever it is
//! not certain what the kernel holds.

use std::time::Instant;

use super::{LiveSync, other, programmed, sizes};
use crate::agent::backend::{Backend as _, Outcome as _};
use crate::agent::facts::NodeFacts;
use crate::agent::ipsets::KubeProxySets;
use crate::agent::ipvs::backend::{Ipvs, schedulers, tell};
use crate::agent::run::programmer::{ProgramError, Programmed};
use crate::agent::sync::{Comparison as _, SyncError};
use crate::kernel::ipvs::{ProbeError, probe};
use crate::kernel::nft::NftKernel as _;
use crate::model::Snapshot;
use crate::translate::ipvs::IpvsTable;

impl LiveSync {
    /// Compares everything with the kernel, and changes what differs.
    pub(super) fn sync(&mut self, snapshot: &Snapshot) -> Result<Programmed, ProgramError> {
        self.tables = None;
        self.facts = NodeFacts::probe(&mut self.socket)?;
        let backend = Ipvs::new(snapshot, &self.config, &self.facts);
        if !self.probed {
            let (tables, _) = backend.tables(snapshot);
            warn_of_schedulers(&tables)?;
            self.probed = true;
        }
        let mut comparison = backend.compare_with(
            &mut self.socket,
            &mut self.ipvs,
            snapshot,
            self.take_over,
            self.settings.clone(),
        )?;
        let ipsets = KubeProxySets::find();
        comparison.ipsets.clone_from(&ipsets);
        self.settings.clone_from(&comparison.settings);
        self.taken.clone_from(&comparison.plan.conflicts);
        tell(&comparison);
        self.warn_of(comparison.competitors());
        backend.prerequisites().ensure(&mut self.socket)?;
        // What is told of a large load would cost more than the load.
        if let Some(hearing) = &mut self.hearing {
            hearing.pause().map_err(other)?;
        }
        let started = Instant::now();
        let committed = backend.commit_with(
            &mut self.socket,
            &mut self.ipvs,
            snapshot,
            comparison,
            &mut self.drains,
        );
        let took = started.elapsed();
        let generation = match &committed {
            Ok((done, comparison)) => {
                let read = comparison.generation();
                done.generation.unwrap_or(read)
            }
            Err(_) => self.socket.generation()?,
        };
        if let Some(hearing) = &mut self.hearing {
            let resumed = hearing.resume(generation, &mut self.socket);
            resumed.map_err(other)?;
        }
        self.watch.rearm(&self.drains, committed.is_err());
        let (done, comparison) = committed?;
        if self.take_over {
            ipsets.destroy();
        }
        let sizes = sizes(&comparison.tables);
        self.watch.settled(&mut self.ipvs, &comparison.tables)?;
        self.tables = Some(comparison.tables);
        self.keep(snapshot, backend);
        Ok(Programmed {
            full: true,
            sizes,
            ..programmed(done, took)
        })
    }

    fn warn_of(&mut self, competitors: Vec<String>) {
        if self.competitors != competitors {
            for what in &competitors {
                tracing::warn!("{what}: another proxy's; --take-over replaces it");
            }
            self.competitors = competitors;
        }
    }
}

/// Warns of schedulers that Services name and the kernel does not have: nobody's annotation may
/// keep all other Services from being served.
fn warn_of_schedulers(tables: &[IpvsTable]) -> Result<(), SyncError> {
    match probe(&schedulers(tables)) {
        Err(ProbeError::Missing(missing)) if !missing.ipvs && !missing.dummy => {
            let names: Vec<_> = missing.schedulers.iter().map(|name| &**name).collect();
            tracing::warn!(
                "this kernel lacks the IPVS scheduler {}: Services that name it are not served \
                 until its module can be loaded",
                names.join(", ")
            );
            Ok(())
        }
        other => Ok(other?),
    }
}

//! Following changes: only what a change touches is translated and written, without listing the
//! kernel.
//!
//! Owns the sockets of the mode, the ears for what other programs do to the table and to the
//! device, and the alarm at which real servers that wait are looked at and virtual servers, of
//! which the kernel tells nobody, are compared. Must not decide when to program: the loop does.

mod follow;
mod watch;
mod whole;

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use self::watch::Watch;
use super::backend::Ipvs;
use super::cleanup::IpvsRemoval;
use super::drain::Drains;
use super::settings::Settings;
use crate::agent::backend::Backend;
use crate::agent::cleanup::Removal;
use crate::agent::facts::NodeFacts;
use crate::agent::hearing::Hearing;
use crate::agent::ipsets::KubeProxySets;
use crate::agent::run::programmer::{Foreign, ProgramError, Programmed, Programmer, Resync, Size};
use crate::agent::sync::{Done, SyncError};
use crate::config::ProxyConfig;
use crate::kernel::Socket;
use crate::kernel::ipvs::{IpvsSocket, probe};
use crate::kernel::nft::Interest;
use crate::model::{IpFamily, Snapshot, Touched};
use crate::plan::ipvs::ServerKey;
use crate::plan::nftables::IPVS_TABLE;
use crate::plan::op::TableRef;
use crate::translate::ipvs::IpvsTable;

/// Programs the IPVS mode, in the namespace that the calling thread is in.
#[derive(Debug)]
pub struct LiveSync {
    socket: Socket,
    ipvs: IpvsSocket,
    config: ProxyConfig,
    take_over: bool,
    facts: NodeFacts,
    backend: Option<Ipvs>,
    /// `None` when it is not certain what the kernel holds.
    tables: Option<Vec<IpvsTable>>,
    drains: Drains,
    hearing: Option<Hearing>,
    watch: Watch,
    /// The own Node object, without the rest of the cluster.
    node: Snapshot,
    /// What settings were before this process changed them.
    settings: Settings,
    /// Front ends where virtual servers of others are: served when those go.
    taken: Vec<ServerKey>,
    /// What stays of others, as far as it has been warned of.
    competitors: Vec<String>,
    /// The kernel has been asked whether it can do all this.
    probed: bool,
}

impl LiveSync {
    /// A programmer for the network namespace that the calling thread is in, from then on.
    ///
    /// # Errors
    /// The kernel has no IPVS, no permission, or a question that it does not answer.
    pub fn new(
        mut socket: Socket,
        config: &ProxyConfig,
        take_over: bool,
    ) -> Result<Self, ProgramError> {
        let facts = NodeFacts::probe(&mut socket)?;
        let interest = IpFamily::ALL
            .into_iter()
            .fold(Interest::new(), |all, family| {
                let name = IPVS_TABLE.into();
                all.table(TableRef { family, name })
            });
        let hearing = Hearing::open(interest, &socket);
        // Whatever is missing is told in one sentence, schedulers of Services in another.
        let defaults = [config.ipvs.scheduler.name.clone()].into();
        probe(&defaults).map_err(SyncError::from)?;
        let mut ipvs = IpvsSocket::open().map_err(SyncError::from)?;
        let watch = Watch::open(ipvs.link().portid(), hearing.as_ref()).map_err(other)?;
        Ok(Self {
            socket,
            ipvs,
            config: config.clone(),
            take_over,
            facts,
            backend: None,
            tables: None,
            drains: Drains::new(config.ipvs.drain_timeout),
            hearing,
            watch,
            node: Snapshot::default(),
            settings: Settings::new(),
            taken: Vec::new(),
            competitors: Vec::new(),
            probed: false,
        })
    }

    /// Remembers what [`disturbed`](Programmer::disturbed) and node changes are measured by.
    fn keep(&mut self, snapshot: &Snapshot, backend: Ipvs) {
        let own = snapshot.nodes.get_key_value(&self.config.node_name);
        let own = own.map(|(name, node)| (name.clone(), node.clone()));
        self.node.nodes = own.into_iter().collect();
        self.backend = Some(backend);
    }

    /// Tries settings again that were refused or that somebody changed. What is refused has been
    /// told.
    fn keep_settings(&self) {
        let Some(backend) = &self.backend else {
            return;
        };
        for done in backend.prerequisites().set_sysctls().0 {
            tracing::info!("{done} again");
        }
    }

    /// Whether a change of the own node changes everything.
    fn moves(&mut self, snapshot: &Snapshot, touched: &Touched) -> bool {
        if !touched.nodes.contains(&self.config.node_name) {
            return false;
        }
        let backend = Ipvs::new(snapshot, &self.config, &self.facts);
        if self.backend.as_ref() != Some(&backend) {
            return true;
        }
        self.keep(snapshot, backend);
        false
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
        if self.moves(snapshot, touched) || self.tables.is_none() {
            return self.sync(snapshot);
        }
        self.follow(snapshot, touched)
    }

    fn resync(&mut self, snapshot: &Snapshot, _why: Resync) -> Result<Programmed, ProgramError> {
        self.sync(snapshot)
    }

    fn wakes(&self) -> Option<io::Result<OwnedFd>> {
        Some(self.watch.descriptor())
    }

    fn listen(&mut self) -> Result<Vec<Foreign>, ProgramError> {
        let mut heard = match &mut self.hearing {
            Some(hearing) => hearing.heard().map_err(other)?,
            None => Vec::new(),
        };
        let tables = self.tables.as_deref().unwrap_or_default();
        heard.extend(self.watch.heard(tables).map_err(other)?);
        if self.watch.has_rung() {
            self.look_at_drains()?;
            self.keep_settings();
            let tables = self.tables.as_deref().unwrap_or_default();
            let compared = self
                .watch
                .compare(&mut self.ipvs, tables, &self.taken, &self.drains);
            heard.extend(compared?);
            self.watch.rearm(&self.drains, false);
        }
        Ok(heard)
    }

    fn disturbed(&mut self) -> Result<bool, ProgramError> {
        if self.tables.is_none() {
            return Ok(true);
        }
        let facts = NodeFacts::probe(&mut self.socket)?;
        let now = Ipvs::new(&self.node, &self.config, &facts);
        Ok(self.backend.as_ref() != Some(&now))
    }

    fn cleanup(&mut self) -> Result<Programmed, ProgramError> {
        self.tables = None;
        let started = Instant::now();
        let ipvs = IpvsRemoval::find(&mut self.socket)?;
        let removal = Removal::find(&mut self.socket)?;
        let ipsets = KubeProxySets::find();
        if removal.is_empty() && ipvs.is_empty() && ipsets.is_empty() {
            return Ok(Programmed::default());
        }
        ipvs.commit()?;
        let done = removal.commit(&mut self.socket)?;
        ipsets.destroy();
        Ok(programmed(done, started.elapsed()))
    }
}

fn sizes(tables: &[IpvsTable]) -> Vec<Size> {
    let sizes = tables.iter().flat_map(|table| {
        let family = table.options().family();
        let reals = table.servers().map(|(_, server)| server.reals.len()).sum();
        let part = |part, count| Size {
            family,
            part,
            count,
        };
        [
            part("virtual-servers", table.servers().count()),
            part("real-servers", reals),
        ]
    });
    sizes.collect()
}

fn programmed(done: Done, commit_time: Duration) -> Programmed {
    Programmed {
        commit_time,
        transactions: done.transactions,
        messages: done.messages,
        bytes: done.bytes,
        ..Programmed::default()
    }
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> ProgramError {
    ProgramError::Other(Box::new(error))
}

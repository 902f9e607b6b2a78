//! What the verbs that look at the kernel have in common: a namespace, a socket, a program.

use std::io::{self, Write};

use super::args::NetnsArgs;
use super::{Exit, Failure, report};
use crate::agent::cluster::Cluster;
use crate::agent::facts::{FactsError, NodeFacts};
use crate::agent::program::{Program, Settings};
use crate::agent::sync::{self, Comparison, Done, SyncError};
use crate::config::ProxyConfig;
use crate::kernel::nft::{NftKernel, ReadError};
use crate::kernel::{Socket, netns};
use crate::model::Snapshot;
use crate::plan::diff::{Changes, Deviation};

/// Beyond this many steps `apply` shows counts instead of service names.
const SHOWN_STEPS: usize = 20_000;

/// Does a verb's work on a thread inside the namespace asked for.
pub(super) fn in_netns(
    args: &NetnsArgs,
    work: impl FnOnce() -> Result<Exit, Failure> + Send,
) -> Result<Exit, Failure> {
    netns::run_in(&args.netns(), work)?
}

/// Opens the netlink socket and makes sure the kernel talks to us, before anything else is done:
/// a user without the right to do any of it learns that first, in one sentence.
pub(super) fn privileged_socket() -> Result<Socket, Failure> {
    let mut socket = Socket::open()?;
    socket.generation()?;
    Ok(socket)
}

/// A kernel and what it should hold.
pub(super) struct Session {
    socket: Socket,
    settings: Settings,
}

impl Session {
    /// Finds out what rules depend on. Changes nothing.
    pub(super) fn open(
        mut socket: Socket,
        cluster: &Cluster,
        config: &ProxyConfig,
    ) -> Result<Self, FactsError> {
        let facts = NodeFacts::probe(&mut socket)?;
        let settings = Settings::new(&cluster.snapshot, config, &facts);
        Ok(Self { socket, settings })
    }

    /// Compares the kernel with what it should hold.
    pub(super) fn compare(&mut self, snapshot: &Snapshot) -> Result<Comparison, ReadError> {
        let desired = Program::new(snapshot, &self.settings).desired();
        sync::compare(&mut self.socket, &desired)
    }

    /// Commits what a comparison found.
    pub(super) fn commit(
        &mut self,
        snapshot: &Snapshot,
        comparison: Comparison,
    ) -> Result<Done, SyncError> {
        let program = Program::new(snapshot, &self.settings);
        program.commit(&mut self.socket, comparison)
    }

    /// Every change as text.
    pub(super) fn changes(
        &mut self,
        snapshot: &Snapshot,
        comparison: &Comparison,
    ) -> Result<Vec<Changes>, ReadError> {
        let program = Program::new(snapshot, &self.settings);
        program.changes(&mut self.socket, &comparison.plans)
    }

    /// Every deviation as text.
    pub(super) fn deviations(
        &mut self,
        snapshot: &Snapshot,
        comparison: &Comparison,
    ) -> Result<Vec<Deviation>, ReadError> {
        let program = Program::new(snapshot, &self.settings);
        program.deviations(&mut self.socket, &comparison.plans)
    }

    /// Counters and settings that are not as the rules need them.
    pub(super) fn missing_prerequisites(&self) -> Result<Vec<String>, FactsError> {
        self.settings.prerequisites().missing()
    }

    /// Makes them so and names what was changed.
    pub(super) fn ensure_prerequisites(&mut self) -> Result<Vec<String>, FactsError> {
        self.settings.prerequisites().ensure(&mut self.socket)
    }

    /// Prints the services that change and the counts of each family to standard output.
    pub(super) fn show(
        &mut self,
        snapshot: &Snapshot,
        comparison: &Comparison,
        missing: &[String],
    ) -> Result<(), Failure> {
        let steps: usize = comparison
            .plans
            .iter()
            .map(|plan| plan.counts().steps)
            .sum();
        let mut out = anstream::stdout().lock();
        if steps <= SHOWN_STEPS {
            report::services(&self.changes(snapshot, comparison)?, snapshot, &mut out)?;
        }
        for plan in comparison.plans.iter().filter(|plan| !plan.is_empty()) {
            writeln!(out, "{}: {}", plan.family(), plan.counts())?;
        }
        settings(missing, &mut out)?;
        Ok(())
    }
}

/// Prints settings that change, one a line.
pub(super) fn settings(missing: &[String], out: &mut dyn Write) -> io::Result<()> {
    missing
        .iter()
        .try_for_each(|setting| writeln!(out, "{setting}"))
}

//! What the verbs that look at the kernel have in common: a namespace, a socket, a program.

use std::io::{self, Write};

use super::args::{self, InputArgs, NetnsArgs};
use super::{Exit, Failure, report};
use crate::agent::cluster::{Cluster, StateAccess};
use crate::agent::facts::{FactsError, NodeFacts};
use crate::agent::program::{Program, Settings};
use crate::agent::sync::{self, Comparison, Done};
use crate::config::ProxyFlags;
use crate::kernel::nft::{NftKernel, ReadError};
use crate::kernel::{Socket, netns};
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

/// A kernel, and the cluster whose rules it should hold.
pub(super) struct Session {
    socket: Socket,
    settings: Settings,
    cluster: Cluster,
}

impl Session {
    /// Reads the manifests and finds out what else rules depend on. Changes nothing.
    pub(super) fn open(
        input: &InputArgs,
        rules: &ProxyFlags,
        access: StateAccess,
    ) -> Result<Self, Failure> {
        let config = args::proxy_config(rules)?;
        let mut socket = privileged_socket()?;
        let cluster = input.load(&config, access)?;
        let facts = NodeFacts::probe(&mut socket)?;
        let settings = Settings::new(&cluster.snapshot, &config, &facts);
        Ok(Self {
            socket,
            settings,
            cluster,
        })
    }

    /// Compares the kernel with what it should hold.
    pub(super) fn compare(&mut self) -> Result<Comparison, ReadError> {
        let program = Program::new(&self.cluster.snapshot, &self.settings);
        sync::compare(&mut self.socket, &program.desired())
    }

    /// Counters and settings that are not as the rules need them.
    pub(super) fn missing_prerequisites(&self) -> Result<Vec<String>, FactsError> {
        self.settings.prerequisites().missing()
    }

    /// Makes the kernel hold what it should. Says what it took, and which settings were changed.
    ///
    /// Allocations are written down first: an address in the kernel is then never one that a later
    /// run gives to somebody else. Counters and settings come next: a rule needs the counter it
    /// names.
    pub(super) fn commit(
        &mut self,
        comparison: Comparison,
    ) -> Result<(Done, Vec<String>), Failure> {
        self.cluster.keep_allocations()?;
        let changed = self.settings.prerequisites().ensure(&mut self.socket)?;
        let program = Program::new(&self.cluster.snapshot, &self.settings);
        Ok((program.commit(&mut self.socket, comparison)?, changed))
    }

    /// Every change as text.
    pub(super) fn changes(&mut self, comparison: &Comparison) -> Result<Vec<Changes>, ReadError> {
        let program = Program::new(&self.cluster.snapshot, &self.settings);
        program.changes(&mut self.socket, &comparison.plans)
    }

    /// Every deviation as text.
    pub(super) fn deviations(
        &mut self,
        comparison: &Comparison,
    ) -> Result<Vec<Deviation>, ReadError> {
        let program = Program::new(&self.cluster.snapshot, &self.settings);
        program.deviations(&mut self.socket, &comparison.plans)
    }

    /// Prints the services that change, one a line.
    pub(super) fn show_services(&self, changes: &[Changes], out: &mut dyn Write) -> io::Result<()> {
        report::services(changes, &self.cluster.snapshot, out)
    }

    /// Prints what is going to change: services, counts of each family, settings.
    pub(super) fn show(
        &mut self,
        comparison: &Comparison,
        missing: &[String],
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        let steps: usize = comparison
            .plans
            .iter()
            .map(|plan| plan.counts().steps)
            .sum();
        if steps <= SHOWN_STEPS {
            let changes = self.changes(comparison)?;
            self.show_services(&changes, out)?;
        }
        for plan in comparison.plans.iter().filter(|plan| !plan.is_empty()) {
            writeln!(out, "{}: {}", plan.family(), plan.counts())?;
        }
        for setting in missing {
            writeln!(out, "{setting}")?;
        }
        Ok(())
    }
}

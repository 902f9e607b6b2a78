//! What the verbs that look at the kernel have in common: a namespace, a socket, a mode.

use std::io::{self, Write};

use anyhow::anyhow;

use super::args::{self, InputArgs, NetnsArgs};
use super::{Exit, Failure, report};
use crate::agent::backend::{Backend, FamilyChanges, Outcome};
use crate::agent::cluster::{Cluster, StateAccess};
use crate::agent::conntrack;
use crate::agent::facts::{FactsError, NodeFacts};
use crate::agent::iptables::Iptables;
use crate::agent::ipvs::Ipvs;
use crate::agent::nftables::Nftables;
use crate::agent::sync::{Done, SyncError};
use crate::config::{Mode, ProxyConfig, ProxyFlags};
use crate::kernel::nft::NftKernel;
use crate::kernel::{Socket, netns};

/// Beyond this many steps `apply` shows counts instead of service names.
const SHOWN_STEPS: usize = 20_000;

/// What a verb does, whatever the mode.
pub(super) trait Verb: Sync {
    /// Does it.
    fn run<B: Backend>(&self) -> Result<Exit, Failure>;
}

/// Does a verb's work in a mode, inside the namespace asked for.
pub(super) fn run_in_mode(
    verb: &impl Verb,
    mode: Mode,
    netns: &NetnsArgs,
) -> Result<Exit, Failure> {
    in_netns(netns, || match mode {
        Mode::Nftables => verb.run::<Nftables>(),
        Mode::Iptables => verb.run::<Iptables>(),
        Mode::Ipvs => verb.run::<Ipvs>(),
        Mode::Userspace => Err(Failure::bad_input(anyhow!(
            "--mode userspace: needs a process that forwards, and only that knows where its rules \
             lead; use portolan run --mode userspace, which checks and repairs them by itself"
        ))),
    })
}

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
pub(super) struct Session<B> {
    config: ProxyConfig,
    socket: Socket,
    backend: B,
    cluster: Cluster,
}

impl<B: Backend> Session<B> {
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
        let backend = B::new(&cluster.snapshot, &config, &facts);
        Ok(Self {
            config,
            socket,
            backend,
            cluster,
        })
    }

    /// Compares the kernel with what it should hold.
    pub(super) fn compare(&mut self, take_over: bool) -> Result<B::Comparison, SyncError> {
        let snapshot = &self.cluster.snapshot;
        self.backend.compare(&mut self.socket, snapshot, take_over)
    }

    /// Counters and settings that are not as the rules need them.
    pub(super) fn missing_prerequisites(&self) -> Result<Vec<String>, FactsError> {
        self.backend.prerequisites().missing()
    }

    /// Makes the kernel hold what it should. Says what it took, and which settings were changed.
    ///
    /// Allocations are written down first: an address in the kernel is then never one that a later
    /// run gives to somebody else. Counters and settings come next: a rule needs the counter it
    /// names.
    pub(super) fn commit(
        &mut self,
        comparison: B::Comparison,
    ) -> Result<(Done, Vec<String>), Failure> {
        self.cluster.keep_allocations()?;
        let changed = self.backend.prerequisites().ensure(&mut self.socket)?;
        let snapshot = &self.cluster.snapshot;
        let done = self
            .backend
            .commit(&mut self.socket, snapshot, comparison)?;
        Ok((done, changed))
    }

    /// Removes connections that lead to endpoints that are gone, now that the rules are in force.
    /// A failure is told and not an error: rules are what was asked for.
    pub(super) fn remove_stale_flows(&self, quiet: bool) -> io::Result<()> {
        match conntrack::at_once(&self.cluster.snapshot, &self.config) {
            Ok(removed) if quiet || removed.total() == 0 => Ok(()),
            Ok(removed) => writeln!(io::stdout(), "{removed}"),
            Err(error) => {
                tracing::warn!("stale connections stay: {:#}", anyhow::Error::from(error));
                Ok(())
            }
        }
    }

    /// Every change as text.
    pub(super) fn changes(
        &mut self,
        comparison: &B::Comparison,
    ) -> Result<Vec<FamilyChanges>, SyncError> {
        let snapshot = &self.cluster.snapshot;
        self.backend.changes(&mut self.socket, snapshot, comparison)
    }

    /// Every deviation as text.
    pub(super) fn deviations(
        &mut self,
        comparison: &B::Comparison,
    ) -> Result<Vec<String>, SyncError> {
        let snapshot = &self.cluster.snapshot;
        self.backend
            .deviations(&mut self.socket, snapshot, comparison)
    }

    /// Prints the services that change, one a line.
    pub(super) fn show_services(
        &self,
        changes: &[FamilyChanges],
        out: &mut dyn Write,
    ) -> io::Result<()> {
        report::services(changes, &self.cluster.snapshot, out)
    }

    /// Prints what is going to change: services, counts of each family, settings.
    pub(super) fn show(
        &mut self,
        comparison: &B::Comparison,
        missing: &[String],
        out: &mut dyn Write,
    ) -> Result<(), Failure> {
        // Putting nothing into words would take as much as putting everything.
        if (1..=SHOWN_STEPS).contains(&comparison.steps()) {
            let changes = self.changes(comparison)?;
            self.show_services(&changes, out)?;
        }
        for line in comparison.summary() {
            writeln!(out, "{line}")?;
        }
        for setting in missing {
            writeln!(out, "{setting}")?;
        }
        Ok(())
    }
}

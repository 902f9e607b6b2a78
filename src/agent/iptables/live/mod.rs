//! Following changes: of the rules in memory only what a change touches is translated, planned and
//! committed, in one transaction and without listing the kernel.
//!
//! Owns the netlink socket of the mode and the ear for what other programs do to our chains. What
//! the kernel itself does with a commit still grows with the table (`docs/iptables-mode.md`). Must
//! not decide when to program: the loop does.

mod follower;

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

pub use follower::{Adopted, Follower};

use super::Iptables;
use crate::agent::backend::Backend;
use crate::agent::cleanup::Removal;
use crate::agent::facts::NodeFacts;
use crate::agent::hearing::Hearing;
use crate::agent::run::programmer::{Foreign, ProgramError, Programmed, Programmer, Resync};
use crate::agent::sync::{Done, SyncError};
use crate::config::ProxyConfig;
use crate::kernel::Socket;
use crate::kernel::nft::{CommitError, Interest, NftKernel, NftMonitor};
use crate::model::{IpFamily, Snapshot, Touched};
use crate::plan::op::TableRef;
use crate::plan::xtables::rule::XtTable;
use crate::translate::iptables::Update;

/// What our chains' names begin with.
const PREFIX: &str = "KUBE-";
/// A change of more rules and chains than this is left to the comparison of everything, which
/// brings it in stages: 50 000 rules are some 30 MB of messages.
const MOST: usize = 50_000;
/// The same for rules whose handles are asked for: the kernel needs 8 KiB for each.
const MOST_HANDLES: usize = 4_000;
/// How often a commit is tried while others change what is not ours.
const ATTEMPTS: u32 = 5;

/// Programs the iptables mode over a socket, in the namespace that it was opened in.
#[derive(Debug)]
pub struct LiveSync {
    socket: Socket,
    config: ProxyConfig,
    take_over: bool,
    facts: NodeFacts,
    backend: Option<Iptables>,
    /// `None` when it is not certain what the kernel holds.
    follower: Option<Follower>,
    hearing: Option<Hearing>,
    /// The own Node object, without the rest of the cluster.
    node: Snapshot,
    /// Other proxies whose rules stay, as far as they have been warned of.
    competitors: Vec<String>,
}

/// What became of an attempt to follow a change.
enum Followed {
    /// The kernel has it.
    Done(Programmed),
    /// Everything has to be compared.
    Lost,
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
        let hearing = Hearing::open(interest(), &socket);
        Ok(Self {
            socket,
            config: config.clone(),
            take_over,
            facts,
            backend: None,
            follower: None,
            hearing,
            node: Snapshot::default(),
            competitors: Vec::new(),
        })
    }

    /// Compares everything with the kernel, and changes what differs.
    fn sync(&mut self, snapshot: &Snapshot) -> Result<Programmed, ProgramError> {
        self.follower = None;
        self.facts = NodeFacts::probe(&mut self.socket)?;
        let backend = Iptables::new(snapshot, &self.config, &self.facts);
        backend.prerequisites().ensure(&mut self.socket)?;
        // What is told of a large load would cost more than the load.
        if let Some(hearing) = &mut self.hearing {
            hearing.pause().map_err(other)?;
        }
        let adopted = Follower::adopt(&mut self.socket, &backend, snapshot, self.take_over);
        // After a failure everything is read again, so nothing can be missed.
        let generation = match &adopted {
            Ok(adopted) => adopted.generation,
            Err(_) => self.socket.generation()?,
        };
        if let Some(hearing) = &mut self.hearing {
            let resumed = hearing.resume(generation, &mut self.socket);
            resumed.map_err(other)?;
        }
        let adopted = adopted?;
        self.follower = adopted.follower;
        self.warn_of(adopted.competitors);
        self.keep(snapshot, backend);
        Ok(Programmed {
            full: true,
            sizes: adopted.sizes,
            ..programmed(adopted.done, adopted.commit_time)
        })
    }

    /// Remembers what [`disturbed`](Programmer::disturbed) and node changes are measured by.
    fn keep(&mut self, snapshot: &Snapshot, backend: Iptables) {
        let own = snapshot.nodes.get_key_value(&self.config.node_name);
        let own = own.map(|(name, node)| (name.clone(), node.clone()));
        self.node.nodes = own.into_iter().collect();
        self.backend = Some(backend);
    }

    fn warn_of(&mut self, competitors: Vec<String>) {
        if self.competitors != competitors {
            for what in &competitors {
                tracing::warn!("{what}: rules of another proxy; --take-over replaces them");
            }
            self.competitors = competitors;
        }
    }

    /// Whether a change of the own node changes all rules.
    fn moves(&mut self, snapshot: &Snapshot, touched: &Touched) -> bool {
        if !touched.nodes.contains(&self.config.node_name) {
            return false;
        }
        let backend = Iptables::new(snapshot, &self.config, &self.facts);
        if self.backend.as_ref() != Some(&backend) {
            return true;
        }
        self.keep(snapshot, backend);
        false
    }

    /// Follows a change; whatever goes wrong, there is no follower any more.
    fn follow(&mut self, snapshot: &Snapshot, touched: &Touched) -> Result<Followed, ProgramError> {
        let Some(mut follower) = self.follower.take() else {
            return Ok(Followed::Lost);
        };
        let Some(updates) = follower.plan(snapshot, &touched.services) else {
            return Ok(Followed::Lost);
        };
        if updates.iter().all(Update::is_empty) {
            self.follower = Some(follower);
            return Ok(Followed::Done(Programmed::default()));
        }
        let objects: usize = updates.iter().map(Update::objects).sum();
        let handles: usize = updates.iter().map(Update::handles).sum();
        if objects > MOST || handles > MOST_HANDLES {
            return Ok(Followed::Lost);
        }
        let started = Instant::now();
        let outcome = if objects > NftMonitor::LARGE {
            self.commit_unheard(&mut follower, &updates)?
        } else {
            self.commit(&mut follower, &updates)?
        };
        let Some((done, handles)) = outcome else {
            return Ok(Followed::Lost);
        };
        let mut done = programmed(done, started.elapsed());
        if follower.settle(updates, handles) {
            done.sizes = follower.sizes();
            self.follower = Some(follower);
        }
        Ok(Followed::Done(done))
    }

    /// Commits; `None` if somebody else has changed what is ours.
    fn commit(
        &mut self,
        follower: &mut Follower,
        updates: &[Update],
    ) -> Result<Option<(Done, Vec<u64>)>, ProgramError> {
        for _ in 0..ATTEMPTS {
            match follower.commit(&mut self.socket, updates) {
                Ok(committed) => return Ok(Some(committed)),
                Err(SyncError::Commit(CommitError::Conflict { .. })) => {}
                Err(error) => return reread(error),
            }
            match self.committed_elsewhere()? {
                Some(generation) => follower.others_committed(generation),
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Commits a large update while nobody listens: being told of it would cost more than it does.
    fn commit_unheard(
        &mut self,
        follower: &mut Follower,
        updates: &[Update],
    ) -> Result<Option<(Done, Vec<u64>)>, ProgramError> {
        if let Some(hearing) = &mut self.hearing {
            hearing.pause().map_err(other)?;
        }
        // What fails is followed by a comparison of everything, which listens again.
        let outcome = follower.commit(&mut self.socket, updates);
        if let (Ok(_), Some(hearing)) = (&outcome, &mut self.hearing) {
            let resumed = hearing.resume(follower.generation(), &mut self.socket);
            resumed.map_err(other)?;
        }
        outcome.map(Some).or_else(reread)
    }

    /// The generation up to which others have changed nothing of ours since the last commit; `None`
    /// if they have, or nobody can tell.
    ///
    /// The kernel refuses a batch for a newer generation only after it has told of that one, so
    /// all there is to be heard has been said by now.
    fn committed_elsewhere(&mut self) -> Result<Option<u32>, ProgramError> {
        let Some(hearing) = &mut self.hearing else {
            return Ok(None);
        };
        let heard = hearing.heard().map_err(other)?;
        for foreign in &heard {
            tracing::warn!("{}", foreign.text);
        }
        Ok(hearing.last_generation().filter(|_| heard.is_empty()))
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
        if self.moves(snapshot, touched) {
            return self.sync(snapshot);
        }
        match self.follow(snapshot, touched)? {
            Followed::Lost => self.sync(snapshot),
            Followed::Done(done) => Ok(done),
        }
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
        let Some(follower) = &self.follower else {
            return Ok(true);
        };
        if self.hearing.is_none() && self.socket.generation()? != follower.generation() {
            return Ok(true);
        }
        let facts = NodeFacts::probe(&mut self.socket)?;
        let now = Iptables::new(&self.node, &self.config, &facts);
        Ok(self.backend.as_ref() != Some(&now))
    }

    fn cleanup(&mut self) -> Result<Programmed, ProgramError> {
        self.follower = None;
        let started = Instant::now();
        let removal = Removal::find(&mut self.socket)?;
        if removal.is_empty() {
            return Ok(Programmed::default());
        }
        let done = removal.commit(&mut self.socket)?;
        Ok(programmed(done, started.elapsed()))
    }
}

/// Our chains, and rules that lead to them. Of both families, because the node may come to speak
/// another one.
fn interest() -> Interest {
    let tables = [XtTable::Filter, XtTable::Nat].into_iter();
    let tables = tables.flat_map(|table| {
        IpFamily::ALL.map(|family| TableRef {
            family,
            name: table.name().into(),
        })
    });
    tables.fold(Interest::new(), |all, table| all.chains(table, PREFIX))
}

/// A commit that failed because the kernel holds something else than was known calls for a
/// comparison; anything else is an error.
fn reread<T>(error: SyncError) -> Result<Option<T>, ProgramError> {
    match error {
        SyncError::Commit(error)
            if error.wants_reread() || matches!(error, CommitError::Refused { .. }) =>
        {
            tracing::debug!(%error, "comparing everything");
            Ok(None)
        }
        error => Err(error.into()),
    }
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

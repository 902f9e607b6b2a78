//! A programmer that compares the whole kernel state at every change.
//!
//! The right thing in iptables mode, where the kernel's own cost grows with the table anyhow. Only
//! what differs is written, so connections are left alone.

use std::time::{Duration, Instant};

use super::programmer::{ProgramError, Programmed, Programmer, Resync};
use crate::agent::backend::{Backend, Outcome};
use crate::agent::cleanup::Removal;
use crate::agent::facts::NodeFacts;
use crate::agent::sync::Done;
use crate::config::ProxyConfig;
use crate::kernel::Socket;
use crate::kernel::nft::NftKernel;
use crate::model::{IpFamily, Snapshot, Touched};

/// Programs the rules of a mode over a socket, in the namespace that it was opened in.
#[derive(Debug)]
pub struct WholeSync<B> {
    socket: Socket,
    config: ProxyConfig,
    take_over: bool,
    facts: NodeFacts,
    /// The settings of the last sync, and the generation of nf_tables after it.
    synced: Option<(B, u32)>,
    /// The own Node object, without the rest of the cluster.
    node: Snapshot,
    /// Other proxies whose rules stay, as far as they have been warned of.
    competitors: Vec<String>,
}

impl<B: Backend> WholeSync<B> {
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
        Ok(Self {
            facts: NodeFacts::probe(&mut socket)?,
            socket,
            config: config.clone(),
            take_over,
            synced: None,
            node: Snapshot::default(),
            competitors: Vec::new(),
        })
    }

    fn sync(&mut self, snapshot: &Snapshot) -> Result<Programmed, ProgramError> {
        self.synced = None;
        self.facts = NodeFacts::probe(&mut self.socket)?;
        let backend = B::new(snapshot, &self.config, &self.facts);
        // Asked before the comparison, so that what others do meanwhile is not taken for known.
        let before = self.socket.generation()?;
        let comparison = backend.compare(&mut self.socket, snapshot, self.take_over)?;
        self.warn_of(comparison.competitors());
        let sizes = comparison.sizes();
        backend.prerequisites().ensure(&mut self.socket)?;
        let mut done = Done::default();
        let started = Instant::now();
        if !comparison.is_equal() {
            done = backend.commit(&mut self.socket, snapshot, comparison)?;
        }
        let elapsed = started.elapsed();
        self.remember(backend, snapshot, done.generation.unwrap_or(before));
        Ok(Programmed {
            full: true,
            sizes,
            ..programmed(done, elapsed)
        })
    }

    /// Keeps what [`disturbed`](Programmer::disturbed) needs.
    fn remember(&mut self, backend: B, snapshot: &Snapshot, generation: u32) {
        self.synced = Some((backend, generation));
        let name = &self.config.node_name;
        let node = snapshot.nodes.get_key_value(name);
        self.node.nodes = node
            .map(|(name, node)| (name.clone(), node.clone()))
            .into_iter()
            .collect();
    }

    fn warn_of(&mut self, competitors: Vec<String>) {
        if self.competitors != competitors {
            for what in &competitors {
                tracing::warn!("{what}: rules of another proxy; --take-over replaces them");
            }
            self.competitors = competitors;
        }
    }
}

impl<B: Backend + PartialEq> Programmer for WholeSync<B> {
    fn families(&self) -> &[IpFamily] {
        &self.facts.families
    }

    fn start(&mut self, snapshot: &Snapshot) -> Result<Programmed, ProgramError> {
        self.sync(snapshot)
    }

    fn update(
        &mut self,
        snapshot: &Snapshot,
        _touched: &Touched,
    ) -> Result<Programmed, ProgramError> {
        self.sync(snapshot)
    }

    fn resync(&mut self, snapshot: &Snapshot, _why: Resync) -> Result<Programmed, ProgramError> {
        self.sync(snapshot)
    }

    fn disturbed(&mut self) -> Result<bool, ProgramError> {
        let present = self.socket.generation()?;
        let Some((backend, synced)) = &self.synced else {
            return Ok(true);
        };
        if present != *synced {
            return Ok(true);
        }
        let facts = NodeFacts::probe(&mut self.socket)?;
        Ok(*backend != B::new(&self.node, &self.config, &facts))
    }

    fn cleanup(&mut self) -> Result<Programmed, ProgramError> {
        self.synced = None;
        let removal = Removal::find(&mut self.socket)?;
        if removal.is_empty() {
            return Ok(Programmed::default());
        }
        let started = Instant::now();
        let done = removal.commit(&mut self.socket)?;
        Ok(programmed(done, started.elapsed()))
    }
}

fn programmed(done: Done, commit_time: Duration) -> Programmed {
    Programmed {
        transactions: done.transactions,
        messages: done.messages,
        bytes: done.bytes,
        commit_time,
        ..Programmed::default()
    }
}

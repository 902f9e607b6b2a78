//! The rules of all families as memory and kernel have them, from one commit to the next.
//!
//! Owns what is asked of the kernel and what is sent to it. Must not decide what to do when the
//! two have come apart: that is said, and whoever follows starts anew.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::agent::backend::Outcome as _;
use crate::agent::iptables::Iptables;
use crate::agent::iptables::backend::{Bound, compare};
use crate::agent::run::programmer::Size;
use crate::agent::sync::{Comparison as _, Done, SyncError, until_done};
use crate::kernel::nft::{NftBatch as _, NftKernel, ReadError, read_consistently};
use crate::model::{NamespacedName, Snapshot};
use crate::plan::digest::RuleDigest;
use crate::plan::op::TableRef;
use crate::plan::xtables::rule::{XtRuleset, XtTable};
use crate::translate::iptables::{DispatchChain, LiveRules, Update};

/// The rules of all families, and the generation of nf_tables that has them.
#[derive(Debug)]
pub struct Follower {
    rules: Vec<LiveRules>,
    generation: u32,
}

/// What starting took.
#[derive(Debug)]
pub struct Adopted {
    /// Follows from here; `None` if somebody else has changed our chains since the commit.
    pub follower: Option<Follower>,
    /// The last generation that is known to hold what it should.
    pub generation: u32,
    /// What was committed.
    pub done: Done,
    /// How long that took.
    pub commit_time: Duration,
    /// Rules of other proxies that stay.
    pub competitors: Vec<String>,
    /// What there is now.
    pub sizes: Vec<Size>,
}

impl Follower {
    /// Compares everything with the kernel, changes what differs, and learns the shared chains.
    ///
    /// # Errors
    /// See [`SyncError`].
    pub fn adopt<K: NftKernel>(
        kernel: &mut K,
        backend: &Iptables,
        snapshot: &Snapshot,
        take_over: bool,
    ) -> Result<Adopted, SyncError> {
        let options = backend.options().iter().cloned();
        let rules: Vec<_> = options.map(|o| LiveRules::new(snapshot, o)).collect();
        let rulesets = backend.rulesets(snapshot);
        let rulesets: Vec<_> = rulesets.iter().map(|r| r as &dyn XtRuleset).collect();
        let desired: Vec<_> = rules.iter().map(LiveRules::desired).collect();
        let bound = |comparison| Bound {
            comparison,
            rulesets: &rulesets,
        };
        let comparison = bound(compare(kernel, &desired, take_over)?);
        let competitors = comparison.comparison.competitors();
        let started = Instant::now();
        let (done, comparison) = if comparison.is_equal() {
            (Done::default(), comparison)
        } else {
            until_done(kernel, comparison, |kernel| {
                compare(kernel, &desired, take_over).map(bound)
            })?
        };
        let commit_time = started.elapsed();
        // The last transaction's own, or that of the reading if there was none.
        let generation = done.generation.unwrap_or(comparison.generation());
        let sizes = comparison.comparison.sizes();
        drop((comparison, desired));
        let mut follower = Self { rules, generation };
        let known = follower.learn(kernel)?;
        Ok(Adopted {
            follower: known.then_some(follower),
            generation,
            done,
            commit_time,
            competitors,
            sizes,
        })
    }

    /// The generation after the last commit, or a later one that changed nothing of ours.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Others have committed since, but changed nothing of ours.
    pub fn others_committed(&mut self, generation: u32) {
        self.generation = generation;
    }

    /// Follows a change in memory; `None` if the kernel has to be compared in full. What this gives
    /// must be committed, or the follower be thrown away.
    pub fn plan(
        &mut self,
        snapshot: &Snapshot,
        touched: &BTreeSet<NamespacedName>,
    ) -> Option<Vec<Update>> {
        let rules = self.rules.iter_mut();
        rules.map(|rules| rules.update(snapshot, touched)).collect()
    }

    /// Commits updates in one transaction, bound to the generation that is known, and gives the
    /// handles to settle them with.
    ///
    /// # Errors
    /// The kernel has not taken them, or not certainly.
    pub fn commit<K: NftKernel>(
        &mut self,
        kernel: &mut K,
        updates: &[Update],
    ) -> Result<(Done, Vec<u64>), SyncError> {
        let mut batch = kernel.batch(Some(self.generation));
        for update in updates {
            update.ops(&mut |op, wants_handle| {
                if wants_handle {
                    batch.push_echo(&op)
                } else {
                    batch.push(&op)
                }
            })?;
        }
        let mut committed = kernel.commit(batch)?;
        self.generation = committed.generation;
        tracing::debug!(
            messages = committed.messages,
            bytes = committed.bytes,
            generation = committed.generation,
            "committed"
        );
        let done = Done {
            transactions: 1,
            messages: committed.messages,
            bytes: committed.bytes,
            generation: Some(committed.generation),
        };
        committed.handles.sort_unstable();
        let handles = committed.handles.into_iter().map(|(_, handle)| handle);
        Ok((done, handles.collect()))
    }

    /// Follows updates that the kernel has taken. `false` if the shared chains are not known any
    /// more: then the follower is of no use.
    #[must_use]
    pub fn settle(&mut self, updates: Vec<Update>, handles: Vec<u64>) -> bool {
        if updates.iter().map(Update::handles).sum::<usize>() != handles.len() {
            return false;
        }
        let mut handles = handles.into_iter();
        let mut rules = self.rules.iter_mut().zip(updates);
        rules.all(|(rules, update)| rules.settle(update, &mut handles))
    }

    /// How many rules each table has.
    #[must_use]
    pub fn sizes(&self) -> Vec<Size> {
        let size = |rules: &LiveRules, table: XtTable| Size {
            family: rules.family(),
            part: table.name(),
            count: rules.rules_of(table),
        };
        let tables = [XtTable::Filter, XtTable::Nat];
        let all = self.rules.iter();
        all.flat_map(|rules| tables.map(|table| size(rules, table)))
            .collect()
    }

    /// Reads the handles of the shared chains. `false` if they hold something else by now.
    fn learn<K: NftKernel>(&mut self, kernel: &mut K) -> Result<bool, ReadError> {
        let rules = &mut self.rules;
        let (_, known) = read_consistently(kernel, |kernel| {
            let mut known = true;
            for rules in rules.iter_mut() {
                for chain in DispatchChain::ALL {
                    known &= learn(kernel, rules, chain)?;
                }
            }
            Ok(known)
        })?;
        Ok(known)
    }
}

fn learn<K: NftKernel>(
    kernel: &mut K,
    rules: &mut LiveRules,
    chain: DispatchChain,
) -> Result<bool, ReadError> {
    let family = rules.family();
    let table = TableRef {
        family,
        name: chain.table().name().into(),
    };
    let mut present = Vec::new();
    kernel.dump_rules(&table, Some(chain.name()), &mut |rule| {
        present.push((RuleDigest::of_body(&rule.body, family), rule.handle));
    })?;
    Ok(rules.learn(chain, present))
}

//! [`Backend`] of the nftables mode: what the kernel lacks is found and written as the running
//! agent does it; whole tables are made only to put differences into words.

use super::comparison;
use super::live::LiveComparison;
use super::memory::Stale;
use super::options::nftables_options;
use super::words;
use crate::agent::backend::{Backend, FamilyChanges};
use crate::agent::facts::{NodeFacts, Prerequisites};
use crate::agent::sync::{Done, SyncError, until_done};
use crate::config::ProxyConfig;
use crate::kernel::nft::{NftKernel, READ_PATIENCE};
use crate::model::Snapshot;
use crate::plan::nftables::{TableState, deviations};
use crate::translate::nftables::{LiveTable, NftablesOptions, NftablesRuleset};

/// The nftables mode on one node.
#[derive(Debug, PartialEq, Eq)]
pub struct Nftables {
    options: Vec<NftablesOptions>,
}

impl Nftables {
    /// Settings by family, IPv4 first.
    #[must_use]
    pub fn options(&self) -> &[NftablesOptions] {
        &self.options
    }

    /// The tables of a snapshot, by family. Front ends that several services claim are settled.
    #[must_use]
    pub fn rulesets<'a>(&'a self, snapshot: &'a Snapshot) -> Vec<NftablesRuleset<'a>> {
        let ruleset = |options| NftablesRuleset::new(snapshot, options);
        self.options.iter().map(ruleset).collect()
    }
}

impl Backend for Nftables {
    type Comparison = LiveComparison;

    fn new(snapshot: &Snapshot, config: &ProxyConfig, facts: &NodeFacts) -> Self {
        Self {
            options: nftables_options(snapshot, config, facts),
        }
    }

    fn prerequisites(&self) -> Prerequisites {
        Prerequisites::default()
    }

    fn compare<K: NftKernel>(
        &self,
        kernel: &mut K,
        snapshot: &Snapshot,
        take_over: bool,
    ) -> Result<LiveComparison, SyncError> {
        let comparison =
            LiveComparison::new(kernel, snapshot, &self.options, take_over, READ_PATIENCE)?;
        for conflict in comparison.tables().flat_map(LiveTable::conflicts) {
            tracing::warn!("{conflict}");
        }
        Ok(comparison)
    }

    fn commit<K: NftKernel>(
        &self,
        kernel: &mut K,
        snapshot: &Snapshot,
        comparison: LiveComparison,
    ) -> Result<Done, SyncError> {
        let take_over = comparison.take_over();
        let stale: Vec<_> = comparison.changes().map(Stale::of_delta).collect();
        let (done, _) = until_done(kernel, comparison, |kernel| {
            self.compare(kernel, snapshot, take_over)
        })?;
        for stale in stale {
            stale.forget(kernel);
        }
        Ok(done)
    }

    fn changes<K: NftKernel>(
        &self,
        kernel: &mut K,
        snapshot: &Snapshot,
        _: &LiveComparison,
    ) -> Result<Vec<FamilyChanges>, SyncError> {
        let rulesets = self.rulesets(snapshot);
        let desired = rulesets.iter().map(|r| TableState::of(r)).collect();
        let tables = comparison::compare(kernel, desired)?;
        let pairs = rulesets.iter().zip(&tables);
        Ok(pairs
            .map(|(ruleset, table)| words::changes(ruleset, table))
            .collect())
    }

    fn deviations<K: NftKernel>(
        &self,
        kernel: &mut K,
        snapshot: &Snapshot,
        _: &LiveComparison,
    ) -> Result<Vec<String>, SyncError> {
        let rulesets = self.rulesets(snapshot);
        let desired = rulesets.iter().map(|r| TableState::of(r)).collect();
        let tables = comparison::compare(kernel, desired)?;
        let tables = tables.iter();
        Ok(tables
            .flat_map(|table| deviations(&table.plan(), table.present.as_ref()))
            .collect())
    }
}

//! [`Backend`] of the nftables mode: whole tables, compared at once.

use super::comparison::{NftablesComparison, TableComparison};
use super::memory::Stale;
use super::options::nftables_options;
use super::words;
use crate::agent::backend::{Backend, FamilyChanges};
use crate::agent::facts::{NodeFacts, Prerequisites};
use crate::agent::sync::{Done, SyncError, until_done};
use crate::config::ProxyConfig;
use crate::kernel::nft::{NftKernel, ReadError};
use crate::model::Snapshot;
use crate::plan::nftables::{TableState, deviations};
use crate::translate::nftables::{NftablesOptions, NftablesRuleset};

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

    fn desired(&self, snapshot: &Snapshot) -> Vec<TableState> {
        let rulesets = self.rulesets(snapshot);
        for conflict in rulesets.iter().flat_map(NftablesRuleset::conflicts) {
            tracing::warn!("{conflict}");
        }
        rulesets.iter().map(|r| TableState::of(r)).collect()
    }
}

impl Backend for Nftables {
    type Comparison = NftablesComparison;

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
    ) -> Result<NftablesComparison, ReadError> {
        NftablesComparison::new(kernel, self.desired(snapshot), take_over)
    }

    fn commit<K: NftKernel>(
        &self,
        kernel: &mut K,
        snapshot: &Snapshot,
        comparison: NftablesComparison,
    ) -> Result<Done, SyncError> {
        let take_over = comparison.take_over();
        let plans = comparison.tables.iter().map(TableComparison::plan);
        let stale: Vec<_> = plans
            .filter_map(|plan| plan.delta().map(Stale::of_delta))
            .collect();
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
        _: &mut K,
        snapshot: &Snapshot,
        comparison: &NftablesComparison,
    ) -> Result<Vec<FamilyChanges>, ReadError> {
        let rulesets = self.rulesets(snapshot);
        let pairs = rulesets.iter().zip(&comparison.tables);
        Ok(pairs
            .map(|(ruleset, table)| words::changes(ruleset, table))
            .collect())
    }

    fn deviations<K: NftKernel>(
        &self,
        _: &mut K,
        _: &Snapshot,
        comparison: &NftablesComparison,
    ) -> Result<Vec<String>, ReadError> {
        let tables = comparison.tables.iter();
        Ok(tables
            .flat_map(|table| deviations(&table.plan(), table.present.as_ref()))
            .collect())
    }
}

//! Removing everything of portolan's and of kube-proxy's, in one transaction.

use super::iptables::sync as iptables;
use super::leftovers::{For, Leftovers};
use super::sync::{Comparison, Done, Load, SyncError, until_done};
use crate::kernel::nft::{NftKernel, ReadError, read_consistently};
use crate::model::IpFamily;
use crate::plan::diff::{NoRuleset, Plan, cleanup};

/// What there is to remove.
#[derive(Debug)]
pub struct Removal {
    generation: u32,
    /// KUBE- chains, by family.
    pub plans: Vec<Plan>,
    /// Tables.
    pub tables: Leftovers,
}

impl Removal {
    /// Finds it.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn find<K: NftKernel>(kernel: &mut K) -> Result<Self, ReadError> {
        let (generation, (tables, present)) = read_consistently(kernel, |kernel| {
            let tables = Leftovers::find(kernel, For::Cleanup, false)?;
            Ok((tables, iptables::read_families(kernel, &IpFamily::ALL)?))
        })?;
        Ok(Self {
            generation,
            plans: present.iter().map(cleanup).collect(),
            tables,
        })
    }

    /// Nothing is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.plans.iter().all(Plan::is_empty) && self.tables.steps() == 0
    }

    /// A line of counts for each family and table.
    #[must_use]
    pub fn summary(&self) -> Vec<String> {
        let plans = self.plans.iter().filter(|plan| !plan.is_empty());
        let plans = plans.map(|plan| format!("{}: {}", plan.family(), plan.counts()));
        plans.chain(self.tables.removals()).collect()
    }

    /// Removes it.
    ///
    /// # Errors
    /// See [`SyncError`].
    pub fn commit<K: NftKernel>(self, kernel: &mut K) -> Result<Done, SyncError> {
        until_done(kernel, self, Self::find).map(|(done, _)| done)
    }
}

impl Comparison for Removal {
    fn generation(&self) -> u32 {
        self.generation
    }

    fn is_equal(&self) -> bool {
        self.is_empty()
    }

    fn emit<K: NftKernel>(&self, load: &mut Load<'_, K>) -> Result<(), SyncError> {
        for plan in &self.plans {
            load.begin_family()?;
            plan.ops(&NoRuleset(plan.family()), &mut |step| load.take(step))?;
        }
        self.tables.emit(load)
    }
}

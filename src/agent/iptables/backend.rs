//! [`Backend`] of the iptables mode.

use super::options::{iptables_options, prerequisites};
use super::{fetch, sync};
use crate::agent::backend::{Backend, FamilyChanges, Outcome};
use crate::agent::facts::{NodeFacts, Prerequisites};
use crate::agent::leftovers::{For, Leftovers};
use crate::agent::run::programmer::Size;
use crate::agent::sync::{Comparison, Done, Load, SyncError, until_done};
use crate::config::ProxyConfig;
use crate::kernel::nft::{NftKernel, ReadError, read_consistently};
use crate::model::{IpFamily, Snapshot};
use crate::plan::diff::{DesiredState, PresentState, changes, plan, verify};
use crate::plan::json;
use crate::plan::xtables::rule::{XtRuleset, XtTable};
use crate::translate::iptables::{IptablesOptions, IptablesRuleset};

/// The iptables mode on one node.
#[derive(Debug, PartialEq)]
pub struct Iptables {
    options: Vec<IptablesOptions>,
}

/// Rules compared with the kernel, and what another proxy left there.
#[derive(Debug)]
pub struct IptablesComparison {
    rules: sync::Comparison,
    sizes: Vec<Size>,
    leftovers: Leftovers,
}

impl Iptables {
    /// Settings by family, IPv4 first.
    #[must_use]
    pub fn options(&self) -> &[IptablesOptions] {
        &self.options
    }

    /// The rulesets of a snapshot, IPv4 first. They are rendered chain by chain when they are read.
    pub(super) fn rulesets<'a>(&'a self, snapshot: &'a Snapshot) -> Vec<IptablesRuleset<'a>> {
        let ruleset = |options| IptablesRuleset::new(snapshot, options);
        self.options.iter().map(ruleset).collect()
    }
}

impl Outcome for IptablesComparison {
    fn is_equal(&self) -> bool {
        self.rules.is_equal() && self.leftovers.steps() == 0
    }

    fn steps(&self) -> usize {
        let plans = self.rules.plans.iter().map(|plan| plan.counts().steps);
        plans.sum::<usize>() + self.leftovers.steps()
    }

    fn summary(&self) -> Vec<String> {
        let plans = self.rules.plans.iter().filter(|plan| !plan.is_empty());
        let plans = plans.map(|plan| format!("{}: {}", plan.family(), plan.counts()));
        plans
            .chain(self.removals().iter().map(|what| format!("remove {what}")))
            .collect()
    }

    fn holdings(&self) -> String {
        let rules = self.rules.present.iter().map(PresentState::rules);
        format!("{} rules", rules.sum::<usize>())
    }

    fn sizes(&self) -> Vec<Size> {
        self.sizes.clone()
    }

    fn removals(&self) -> Vec<String> {
        self.leftovers.removals()
    }

    fn competitors(&self) -> Vec<String> {
        self.leftovers.staying()
    }
}

/// A comparison with the rulesets it was made from.
pub(super) struct Bound<'a> {
    pub(super) comparison: IptablesComparison,
    pub(super) rulesets: &'a [&'a dyn XtRuleset],
}

impl Comparison for Bound<'_> {
    fn generation(&self) -> u32 {
        self.comparison.rules.generation
    }

    fn is_equal(&self) -> bool {
        Outcome::is_equal(&self.comparison)
    }

    fn emit<K: NftKernel>(&self, load: &mut Load<'_, K>) -> Result<(), SyncError> {
        self.comparison.rules.emit(self.rulesets, load)?;
        self.comparison.leftovers.emit(load)
    }
}

impl Backend for Iptables {
    type Comparison = IptablesComparison;

    fn new(snapshot: &Snapshot, config: &ProxyConfig, facts: &NodeFacts) -> Self {
        Self {
            options: iptables_options(snapshot, config, facts),
        }
    }

    fn prerequisites(&self) -> Prerequisites {
        prerequisites(&self.options)
    }

    fn compare<K: NftKernel>(
        &self,
        kernel: &mut K,
        snapshot: &Snapshot,
        take_over: bool,
    ) -> Result<IptablesComparison, SyncError> {
        let rulesets = self.rulesets(snapshot);
        let desired: Vec<_> = rulesets.iter().map(|r| DesiredState::of(r)).collect();
        Ok(compare(kernel, &desired, take_over)?)
    }

    fn commit<K: NftKernel>(
        &self,
        kernel: &mut K,
        snapshot: &Snapshot,
        comparison: IptablesComparison,
    ) -> Result<Done, SyncError> {
        let rulesets = self.rulesets(snapshot);
        let rulesets: Vec<_> = rulesets.iter().map(|r| r as &dyn XtRuleset).collect();
        let take_over = comparison.leftovers.take_over();
        let bound = |comparison| Bound {
            comparison,
            rulesets: &rulesets,
        };
        until_done(kernel, bound(comparison), |kernel| {
            let desired: Vec<_> = rulesets.iter().map(|r| DesiredState::of(*r)).collect();
            compare(kernel, &desired, take_over).map(bound)
        })
        .map(|(done, _)| done)
    }

    fn changes<K: NftKernel>(
        &self,
        kernel: &mut K,
        snapshot: &Snapshot,
        comparison: &IptablesComparison,
    ) -> Result<Vec<FamilyChanges>, SyncError> {
        let mut all = Vec::new();
        for (ruleset, plan) in self.rulesets(snapshot).iter().zip(&comparison.rules.plans) {
            let changes = changes(plan, ruleset, &mut fetch(kernel, plan.family()))?;
            all.push(FamilyChanges {
                family: changes.family,
                json: json::value(&json::changes(&changes)),
                diff: changes.to_string(),
                services: changes.services,
            });
        }
        Ok(all)
    }

    fn deviations<K: NftKernel>(
        &self,
        kernel: &mut K,
        snapshot: &Snapshot,
        comparison: &IptablesComparison,
    ) -> Result<Vec<String>, SyncError> {
        let mut all = Vec::new();
        for (ruleset, plan) in self.rulesets(snapshot).iter().zip(&comparison.rules.plans) {
            let found = verify(plan, ruleset, &mut fetch(kernel, plan.family()))?;
            all.extend(found.iter().map(ToString::to_string));
        }
        Ok(all)
    }
}

pub(super) fn compare<K: NftKernel>(
    kernel: &mut K,
    desired: &[DesiredState],
    take_over: bool,
) -> Result<IptablesComparison, ReadError> {
    let families: Vec<IpFamily> = desired.iter().map(DesiredState::family).collect();
    let (generation, (present, leftovers)) = read_consistently(kernel, |kernel| {
        let leftovers = Leftovers::find(kernel, For::Iptables, take_over)?;
        Ok((sync::read_families(kernel, &families)?, leftovers))
    })?;
    let pairs = desired.iter().zip(&present);
    let rules = sync::Comparison {
        generation,
        plans: pairs
            .map(|(desired, present)| plan(desired, present))
            .collect(),
        present,
    };
    Ok(IptablesComparison {
        rules,
        sizes: desired.iter().flat_map(sizes).collect(),
        leftovers,
    })
}

/// The tables that kube-proxy counts the rules of.
fn sizes(desired: &DesiredState) -> [Size; 2] {
    [XtTable::Filter, XtTable::Nat].map(|table| Size {
        family: desired.family(),
        part: table.name(),
        count: desired.rules_of(table),
    })
}

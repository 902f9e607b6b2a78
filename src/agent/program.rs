//! A node's program: the rulesets of all its families, ready to be compared and committed.

use super::facts::{NodeFacts, Prerequisites};
use super::rulesets::{iptables_options, prerequisites};
use super::sync::{self, Comparison, Done, SyncError};
use crate::config::ProxyConfig;
use crate::kernel::nft::{NftKernel, ReadError};
use crate::model::{IpFamily, Snapshot};
use crate::plan::diff::{Changes, DesiredState, Deviation, Plan, changes, verify};
use crate::plan::expr::RuleBody;
use crate::plan::op::TableRef;
use crate::plan::xtables::rule::{XtRuleset, XtTable};
use crate::translate::iptables::{IptablesOptions, IptablesRuleset};

/// Settings of a node's rules, out of which a [`Program`] is made.
#[derive(Debug)]
pub struct Settings {
    options: Vec<IptablesOptions>,
}

impl Settings {
    /// Settings for a snapshot on a node with these facts.
    #[must_use]
    pub fn new(snapshot: &Snapshot, config: &ProxyConfig, facts: &NodeFacts) -> Self {
        Self {
            options: iptables_options(snapshot, config, facts),
        }
    }

    /// What the rules need of the kernel besides themselves.
    #[must_use]
    pub fn prerequisites(&self) -> Prerequisites {
        prerequisites(&self.options)
    }
}

/// The rulesets of one snapshot.
pub struct Program<'a> {
    rulesets: Vec<IptablesRuleset<'a>>,
}

impl<'a> Program<'a> {
    /// Renders nothing yet: rulesets are rendered chain by chain when they are read.
    #[must_use]
    pub fn new(snapshot: &'a Snapshot, settings: &'a Settings) -> Self {
        let ruleset = |options| IptablesRuleset::new(snapshot, options);
        Self {
            rulesets: settings.options.iter().map(ruleset).collect(),
        }
    }

    /// The rulesets, IPv4 first.
    #[must_use]
    pub fn rulesets(&self) -> Vec<&dyn XtRuleset> {
        self.rulesets
            .iter()
            .map(|ruleset| ruleset as &dyn XtRuleset)
            .collect()
    }

    /// Digests of what every family should hold.
    #[must_use]
    pub fn desired(&self) -> Vec<DesiredState> {
        self.rulesets
            .iter()
            .map(|ruleset| DesiredState::of(ruleset))
            .collect()
    }

    /// Makes the kernel hold the program.
    ///
    /// # Errors
    /// See [`sync::commit`].
    pub fn commit<K: NftKernel>(
        &self,
        kernel: &mut K,
        comparison: Comparison,
    ) -> Result<Done, SyncError> {
        sync::commit(kernel, &self.rulesets(), comparison)
    }

    /// The plans as lines to read. Holds the text of every rule that changes.
    ///
    /// # Errors
    /// Present rules cannot be read.
    pub fn changes<K: NftKernel>(
        &self,
        kernel: &mut K,
        plans: &[Plan],
    ) -> Result<Vec<Changes>, ReadError> {
        self.rulesets()
            .into_iter()
            .zip(plans)
            .map(|(ruleset, plan)| changes(plan, ruleset, &mut fetch(kernel, plan.family())))
            .collect()
    }

    /// Every deviation of the kernel from the program.
    ///
    /// # Errors
    /// Present rules cannot be read.
    pub fn deviations<K: NftKernel>(
        &self,
        kernel: &mut K,
        plans: &[Plan],
    ) -> Result<Vec<Deviation>, ReadError> {
        let mut all = Vec::new();
        for (ruleset, plan) in self.rulesets().into_iter().zip(plans) {
            all.extend(verify(plan, ruleset, &mut fetch(kernel, plan.family()))?);
        }
        Ok(all)
    }
}

/// How often a chain is read when other programs commit meanwhile.
const FETCH_ATTEMPTS: u32 = 50;

/// Reads a chain's present rules with their handles.
///
/// For texts only: what is read may be newer than the comparison that the plan was made from.
pub fn fetch<K: NftKernel>(
    kernel: &mut K,
    family: IpFamily,
) -> impl FnMut(XtTable, &str) -> Result<Vec<(u64, RuleBody)>, ReadError> {
    move |table, chain| {
        let table = TableRef {
            family,
            name: table.name().into(),
        };
        let mut attempt = 1;
        loop {
            let mut rules = Vec::new();
            match kernel.dump_rules(&table, Some(chain), &mut |rule| {
                rules.push((rule.handle, rule.body));
            }) {
                Err(ReadError::Interrupted) if attempt < FETCH_ATTEMPTS => attempt += 1,
                outcome => return outcome.map(|()| rules),
            }
        }
    }
}

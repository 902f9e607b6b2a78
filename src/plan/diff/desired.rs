//! What the kernel should hold of one family, a digest a rule.

use std::collections::HashMap;
use std::ops::Range;

use super::chain_name::ChainName;
use super::order::RuleKeys;
use super::owned;
use crate::model::IpFamily;
use crate::plan::digest::RuleDigest;
use crate::plan::xtables::rule::{XtJump, XtRuleset, XtTable};

/// The digests of a desired ruleset. Takes about 50 bytes a chain and 8 a rule.
#[derive(Clone, Debug)]
pub struct DesiredState {
    family: IpFamily,
    jumps: Vec<XtJump>,
    chains: [HashMap<ChainName, Range<u32>>; 3],
    rules: Vec<RuleDigest>,
    /// For chains shared by services, what their rules match.
    keys: [HashMap<ChainName, Box<[RuleKeys]>>; 3],
}

impl DesiredState {
    /// Visits the ruleset once and keeps its digests.
    #[must_use]
    pub fn of(ruleset: &dyn XtRuleset) -> Self {
        let mut state = Self {
            family: ruleset.family(),
            jumps: ruleset.jumps(),
            chains: Default::default(),
            rules: Vec::new(),
            keys: Default::default(),
        };
        ruleset.for_each_chain(&mut |chain| {
            let start = state.end();
            state.rules.extend(chain.rules.iter().map(RuleDigest::of));
            let rules = start..state.end();
            if !owned::is_service_chain(chain.table, &chain.name)
                && let Some(keys) = state.keys.get_mut(owned::index(chain.table))
            {
                let of_rules = chain.rules.iter().map(RuleKeys::of).collect();
                keys.insert(chain.name.as_ref().into(), of_rules);
            }
            if let Some(chains) = state.chains.get_mut(owned::index(chain.table)) {
                chains.insert(chain.name.as_ref().into(), rules);
            }
        });
        state.rules.shrink_to_fit();
        state
    }

    /// The family.
    #[must_use]
    pub fn family(&self) -> IpFamily {
        self.family
    }

    /// How many rules there are, without the jumps from built-in chains.
    #[must_use]
    pub fn rules(&self) -> usize {
        self.rules.len()
    }

    /// How many rules a table has, without the jumps from built-in chains.
    #[must_use]
    pub fn rules_of(&self, table: XtTable) -> usize {
        self.chains_of(table).map(|(_, rules)| rules.len()).sum()
    }

    /// How many chains there are.
    #[must_use]
    pub fn chains(&self) -> usize {
        self.chains.iter().map(HashMap::len).sum()
    }

    pub(super) fn jumps(&self) -> &[XtJump] {
        &self.jumps
    }

    /// The chains of a table with their digests, in no order.
    pub(super) fn chains_of(
        &self,
        table: XtTable,
    ) -> impl Iterator<Item = (&ChainName, &[RuleDigest])> {
        let chains = self.chains.get(owned::index(table)).into_iter().flatten();
        chains.map(|(name, rules)| (name, self.slice(rules)))
    }

    /// The digests of a chain, if it is desired.
    pub(super) fn chain(&self, table: XtTable, name: &str) -> Option<&[RuleDigest]> {
        let rules = self.chains.get(owned::index(table))?.get(name)?;
        Some(self.slice(rules))
    }

    /// What the rules of a chain match, unless the order of its rules matters anyhow.
    pub(super) fn keys(&self, table: XtTable, name: &str) -> &[RuleKeys] {
        let keys = self
            .keys
            .get(owned::index(table))
            .and_then(|keys| keys.get(name));
        keys.map_or(&[], |keys| keys)
    }

    fn slice(&self, rules: &Range<u32>) -> &[RuleDigest] {
        self.rules
            .get(rules.start as usize..rules.end as usize)
            .unwrap_or_default()
    }

    fn end(&self) -> u32 {
        u32::try_from(self.rules.len()).unwrap_or(u32::MAX)
    }
}

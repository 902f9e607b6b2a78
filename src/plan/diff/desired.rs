//! What the kernel should hold of one family, a digest a rule.

use std::collections::HashMap;
use std::ops::Range;

use super::chain_name::ChainName;
use super::order::RuleKeys;
use super::owned;
use crate::model::IpFamily;
use crate::plan::digest::RuleDigest;
use crate::plan::xtables::rule::{XtChain, XtJump, XtRuleset, XtTable};

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
        let mut state = Self::new(ruleset.family(), ruleset.jumps());
        ruleset.for_each_chain(&mut |chain| state.add_chain(&chain));
        state.rules.shrink_to_fit();
        state
    }

    /// Jumps and no chains.
    #[must_use]
    pub fn new(family: IpFamily, jumps: Vec<XtJump>) -> Self {
        Self {
            family,
            jumps,
            chains: Default::default(),
            rules: Vec::new(),
            keys: Default::default(),
        }
    }

    /// Adds a chain.
    pub fn add_chain(&mut self, chain: &XtChain) {
        let digests = chain.rules.iter().map(RuleDigest::of);
        if owned::is_service_chain(chain.table, &chain.name) {
            self.add_ordered(chain.table, &chain.name, digests);
        } else {
            let keys = chain.rules.iter().map(RuleKeys::of);
            self.add_shared(chain.table, &chain.name, digests.zip(keys));
        }
    }

    /// Adds a chain whose rules keep the order they come in.
    pub fn add_ordered(
        &mut self,
        table: XtTable,
        name: &str,
        digests: impl IntoIterator<Item = RuleDigest>,
    ) {
        let start = self.end();
        self.rules.extend(digests);
        let rules = start..self.end();
        if let Some(chains) = self.chains.get_mut(owned::index(table)) {
            chains.insert(name.into(), rules);
        }
    }

    /// Adds a chain whose rules may change places where no packet can tell.
    pub fn add_shared(
        &mut self,
        table: XtTable,
        name: &str,
        rules: impl IntoIterator<Item = (RuleDigest, RuleKeys)>,
    ) {
        let mut keys = Vec::new();
        let digests = rules.into_iter().map(|(digest, key)| {
            keys.push(key);
            digest
        });
        self.add_ordered(table, name, digests);
        if let Some(all) = self.keys.get_mut(owned::index(table)) {
            all.insert(name.into(), keys.into());
        }
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

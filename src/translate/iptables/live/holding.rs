//! What one Service contributes to the rules of a family, as digests.

use std::collections::HashMap;

use crate::model::{NamespacedName, Snapshot, proxied_ports};
use crate::plan::diff::{ChainName, RuleKeys};
use crate::plan::digest::RuleDigest;
use crate::plan::xtables::rule::XtChain;
use crate::translate::iptables::dispatch::{DispatchChain, DispatchRule};
use crate::translate::iptables::ruleset::IptablesRuleset;

/// The rules of a Service, spelled out.
#[derive(Debug, Default)]
pub(super) struct Rendered {
    /// Its own chains, each after those it jumps to.
    pub(super) chains: Vec<XtChain>,
    /// Its rules in shared chains, in their order there.
    pub(super) dispatch: Vec<DispatchRule>,
    endpoints: usize,
}

impl Rendered {
    /// Renders a Service; nothing if it has no rules in this family, or there is no such Service.
    pub(super) fn of(
        ruleset: &IptablesRuleset<'_>,
        snapshot: &Snapshot,
        name: &NamespacedName,
    ) -> Self {
        use crate::plan::xtables::rule::XtRuleset as _;
        let mut all = Self::default();
        let Some(service) = snapshot.services.get(name) else {
            return all;
        };
        for port in proxied_ports(service, ruleset.family()) {
            let rules = ruleset.rules_of(&port);
            all.chains.extend(rules.chains);
            all.dispatch.extend(rules.dispatch);
            all.endpoints += rules.endpoints;
        }
        all
    }
}

/// A rule in a shared chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HeldRule {
    pub(super) chain: DispatchChain,
    pub(super) digest: RuleDigest,
    pub(super) keys: RuleKeys,
}

/// The rules of a Service as digests: some 50 bytes a chain, 8 a rule, and 32 a rule in a shared
/// chain.
#[derive(Clone, Debug, Default)]
pub(super) struct Holding {
    /// Its own chains, with how many of the digests each has.
    chains: Box<[(ChainName, u32)]>,
    digests: Box<[RuleDigest]>,
    dispatch: Box<[HeldRule]>,
    endpoints: u32,
}

impl Holding {
    pub(super) fn of(rendered: &Rendered) -> Self {
        let chains = rendered.chains.iter();
        let chains = chains.map(|chain| (chain.name.as_ref().into(), count(chain.rules.len())));
        let rules = rendered.chains.iter().flat_map(|chain| &chain.rules);
        let dispatch = rendered.dispatch.iter().map(|rule| HeldRule {
            chain: rule.chain,
            digest: RuleDigest::of(&rule.rule),
            keys: RuleKeys::of(&rule.rule),
        });
        Self {
            chains: chains.collect(),
            digests: rules.map(RuleDigest::of).collect(),
            dispatch: dispatch.collect(),
            endpoints: count(rendered.endpoints),
        }
    }

    /// It contributes nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.chains.is_empty() && self.dispatch.is_empty() && self.endpoints == 0
    }

    /// Its own chains with the digests of their rules, in the order they were rendered.
    pub(super) fn chains(&self) -> impl Iterator<Item = (&ChainName, &[RuleDigest])> {
        let mut rest = &*self.digests;
        self.chains.iter().map(move |(name, len)| {
            let (rules, others) = rest.split_at_checked(*len as usize).unwrap_or((rest, &[]));
            rest = others;
            (name, rules)
        })
    }

    /// Its own chains by name.
    pub(super) fn by_name(&self) -> HashMap<&str, &[RuleDigest]> {
        self.chains()
            .map(|(name, rules)| (&**name, rules))
            .collect()
    }

    /// Its rules in shared chains.
    pub(super) fn dispatch(&self) -> &[HeldRule] {
        &self.dispatch
    }

    /// Its rules in one shared chain.
    pub(super) fn in_chain(&self, chain: DispatchChain) -> impl Iterator<Item = &HeldRule> {
        self.dispatch.iter().filter(move |rule| rule.chain == chain)
    }

    /// How many rules its own chains have.
    pub(super) fn rules(&self) -> usize {
        self.digests.len()
    }

    /// How many endpoints it has, usable or not, over all ports.
    pub(super) fn endpoints(&self) -> usize {
        self.endpoints as usize
    }
}

/// A length as the kernel could ever hold it.
fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

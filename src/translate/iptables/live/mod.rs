//! One family's rules kept in memory as digests: what every Service contributes, and the chains
//! that Services share with the handles of their rules.
//!
//! [`LiveRules::new`] translates a snapshot, [`LiveRules::learn`] takes the shared chains as the
//! kernel lists them, [`LiveRules::update`] follows a change: it translates the Services that are
//! touched and tells what to write. A Service's own chains are units: one that differs is flushed
//! and filled again, which needs no handles. Shared chains can be long, so single rules of theirs
//! are added and deleted.
//!
//! Must not read or write the kernel. If a commit fails, memory and kernel differ: everything is to
//! be read again and a new `LiveRules` made, nothing is rolled back.

mod holding;
mod update;

use std::collections::BTreeMap;

pub use update::Update;

use self::holding::{HeldRule, Holding, Rendered};
use super::dispatch::DispatchChain;
use super::options::IptablesOptions;
use super::ruleset::{IptablesRuleset, LARGE_CLUSTER_ENDPOINTS};
use crate::model::{IpFamily, NamespacedName, Snapshot};
use crate::plan::diff::{DesiredState, KnownChain, RuleKeys};
use crate::plan::digest::RuleDigest;
use crate::plan::xtables::rule::{XtChain, XtRule, XtRuleset as _, XtTable};

/// The rules of one family, as memory has them.
#[derive(Clone, Debug)]
pub struct LiveRules {
    options: IptablesOptions,
    /// Rules that grow with the endpoints go without comments.
    large_cluster: bool,
    /// What Services contribute that have rules in this family.
    services: BTreeMap<NamespacedName, Holding>,
    /// Endpoints of all of them, usable or not.
    endpoints: usize,
    /// Rules in their own chains.
    own_rules: usize,
    /// The chains that hold no rules of Services.
    base: Vec<XtChain>,
    /// What closes each shared chain, in the order of [`DispatchChain::ALL`].
    tails: [Vec<XtRule>; 6],
    /// The shared chains as the kernel has them, in the same order; empty until they are learned.
    known: [KnownChain; 6],
}

impl LiveRules {
    /// The rules of a snapshot.
    #[must_use]
    pub fn new(snapshot: &Snapshot, options: IptablesOptions) -> Self {
        let ruleset = IptablesRuleset::new(snapshot, &options);
        let mut services = BTreeMap::new();
        let (mut endpoints, mut own_rules) = (0, 0);
        for name in snapshot.services.keys() {
            let holding = Holding::of(&Rendered::of(&ruleset, snapshot, name));
            endpoints += holding.endpoints();
            own_rules += holding.rules();
            if !holding.is_empty() {
                services.insert(name.clone(), holding);
            }
        }
        Self {
            large_cluster: ruleset.large_cluster(),
            services,
            endpoints,
            own_rules,
            base: ruleset.base_chains(),
            tails: DispatchChain::ALL.map(|chain| ruleset.dispatch_tail(chain)),
            known: Default::default(),
            options,
        }
    }

    /// What they were made with.
    #[must_use]
    pub fn options(&self) -> &IptablesOptions {
        &self.options
    }

    /// The family.
    #[must_use]
    pub fn family(&self) -> IpFamily {
        self.options.family
    }

    /// How many rules a table has, without the jumps from built-in chains.
    #[must_use]
    pub fn rules_of(&self, table: XtTable) -> usize {
        let base = self.base.iter().filter(|chain| chain.table == table);
        let base: usize = base.map(|chain| chain.rules.len()).sum();
        let shared = DispatchChain::ALL.iter().zip(&self.known);
        let shared = shared.filter(|(chain, _)| chain.table() == table);
        let shared: usize = shared.map(|(_, known)| known.len()).sum();
        let own = (table == XtTable::Nat).then_some(self.own_rules);
        base + shared + own.unwrap_or_default()
    }

    /// The rules as digests, to be compared with everything the kernel has. Translates nothing.
    #[must_use]
    pub fn desired(&self) -> DesiredState {
        let nothing = Snapshot::default();
        let ruleset = IptablesRuleset::sized(&nothing, &self.options, self.large_cluster);
        let mut state = DesiredState::new(self.family(), ruleset.jumps());
        for chain in &self.base {
            state.add_chain(chain);
        }
        for (name, rules) in self.services.values().flat_map(Holding::chains) {
            state.add_ordered(XtTable::Nat, name, rules.iter().copied());
        }
        for chain in DispatchChain::ALL {
            state.add_shared(chain.table(), chain.name(), self.shared(chain));
        }
        state
    }

    /// Takes over a shared chain as the kernel has it: its rules in order, digests with handles.
    /// `false` if that is not what it should be.
    #[must_use]
    pub fn learn(
        &mut self,
        chain: DispatchChain,
        rules: impl IntoIterator<Item = (RuleDigest, u64)>,
    ) -> bool {
        let present = KnownChain::new(rules);
        let desired: Vec<_> = self.shared(chain).collect();
        let equal = present.edits(&desired).is_none();
        if let Some(known) = self.known.get_mut(index(chain)) {
            *known = present;
        }
        equal
    }

    /// The rules of a shared chain in their order.
    fn shared(&self, chain: DispatchChain) -> impl Iterator<Item = (RuleDigest, RuleKeys)> {
        let of_services = self.services.values().flat_map(move |h| h.in_chain(chain));
        let of_services = of_services.map(|rule| (rule.digest, rule.keys));
        let tail = self.tail(chain).iter();
        of_services.chain(tail.map(|rule| (RuleDigest::of(rule), RuleKeys::of(rule))))
    }

    fn tail(&self, chain: DispatchChain) -> &[XtRule] {
        self.tails.get(index(chain)).map_or(&[], Vec::as_slice)
    }

    /// More endpoints than kube-proxy writes comments for.
    fn is_large(&self) -> bool {
        self.endpoints > LARGE_CLUSTER_ENDPOINTS
    }
}

/// A shared chain's place in arrays.
fn index(chain: DispatchChain) -> usize {
    let mut all = DispatchChain::ALL.iter();
    all.position(|other| *other == chain).unwrap_or_default()
}

/// Whether two Services' worth of shared rules are the same in a chain.
fn same_in(chain: DispatchChain, old: &[HeldRule], new: &[HeldRule]) -> bool {
    let of = |rules| <[HeldRule]>::iter(rules).filter(move |rule: &&HeldRule| rule.chain == chain);
    of(old).eq(of(new))
}

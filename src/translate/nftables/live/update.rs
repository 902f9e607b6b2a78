//! From one snapshot to the next: what to write, for the Services that a change touches.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;

use super::super::claims::{Claimant, claims};
use super::super::elements::element;
use super::super::key::FrontEnd;
use super::super::options::NftablesOptions;
use super::super::ruleset::numbered_ports;
use super::super::sets::SetId;
use super::super::{configured, fixed};
use super::diff::{self, Changes, Diff, Entry, change};
use super::values::Values;
use super::{LiveTable, shared_comment};
use crate::model::{NamespacedName, ServicePortName, Snapshot};
use crate::plan::nftables::{NftRuleset, REMEMBER_CLIENTS, SOURCE_RANGES, TableDelta};
use crate::plan::op::Element;

/// What follows from a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// What to write.
    pub delta: TableDelta,
    /// Service ports whose elements change.
    pub service_ports: BTreeSet<ServicePortName>,
    /// Endpoints that a front end does not send to any more, sorted: what connection tracking and
    /// the affinity memory know of them is stale. A front end that is gone has all of its own here.
    pub gone: Vec<(FrontEnd, SocketAddr)>,
    /// Front ends with affinity whose outside traffic is to stay on this node from now on: the
    /// affinity memory may still lead it elsewhere, and has to forget them.
    pub became_local: Vec<FrontEnd>,
}

/// What follows from other options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replacement {
    /// The fixed part stays; this changes.
    Update(Update),
    /// The fixed part is another one: the whole table is to be written in place of the present
    /// one ([`LiveTable::load`]).
    Table,
}

/// Shared elements before a change, with who held each.
type SharedBefore<'a> = BTreeMap<(SetId, &'a [u8]), Option<NamespacedName>>;

impl LiveTable {
    /// Follows a change. `snapshot` is the state after it; `touched` names the Services that
    /// changed, came or went, themselves or in their endpoints. Others are not looked at, but for
    /// those that win or lose a front end by it.
    ///
    /// From here on this is the table after the change: the delta must be committed, or the kernel
    /// read again.
    pub fn update(&mut self, snapshot: &Snapshot, touched: &BTreeSet<NamespacedName>) -> Update {
        let affected = self.claim_anew(snapshot, touched);
        let old: Vec<Entry> = affected
            .into_iter()
            .map(|name| {
                let holding = self.services.remove(&name);
                (name, holding)
            })
            .collect();
        let present = diff::lists(&old, self.options.family);
        let new: Vec<Entry> = old
            .iter()
            .map(|(name, _)| (name.clone(), self.translate(snapshot, name, &present)))
            .collect();
        let mut changes = Changes::new();
        let values = self.values.clone();
        self.count(&old, &new, &mut changes);
        let diff = Diff::new(self.options.family, &old, &new);
        let mut service_ports = BTreeSet::new();
        diff.changes(&mut changes, &mut service_ports);
        let update = Update {
            delta: self.delta(changes, &values),
            service_ports,
            gone: diff.gone(),
            became_local: diff.became_local(),
        };
        let present = new.into_iter();
        let present = present.filter_map(|(name, holding)| Some((name, holding?)));
        self.services.extend(present);
        update
    }

    /// Follows a change of options, together with any change of the snapshot. Looks at every
    /// Service.
    pub fn replace(&mut self, snapshot: &Snapshot, options: NftablesOptions) -> Replacement {
        let fixed_part = |options: &NftablesOptions| fixed::chains(options, &[], &[]);
        let stays = self.options.family == options.family
            && fixed_part(&self.options) == fixed_part(&options);
        if !stays {
            *self = Self::new(snapshot, options);
            return Replacement::Table;
        }
        let old = configured_elements(&self.options);
        let new = configured_elements(&options);
        self.options = options;
        let known = self.services.keys().chain(snapshot.services.keys());
        let mut update = self.update(snapshot, &known.cloned().collect());
        let mut changes = Changes::new();
        compare(&mut changes, &old, &new);
        update.delta.elements.extend(changes.into_values());
        Replacement::Update(update)
    }

    /// Settles who has which front end, and gives the touched Services together with those for
    /// which that makes a difference.
    fn claim_anew(
        &mut self,
        snapshot: &Snapshot,
        touched: &BTreeSet<NamespacedName>,
    ) -> BTreeSet<NamespacedName> {
        let mut before: HashMap<FrontEnd, Option<Claimant>> = HashMap::new();
        for name in touched {
            let ports = numbered_ports(snapshot, name, self.options.family);
            let new = claims(ports.iter().map(|(_, port)| port));
            let old = self.services.get(name);
            let old = old.map_or(&[][..], |holding| holding.claims());
            if old == new {
                continue;
            }
            for claim in old.iter().chain(&new) {
                let owner = || self.claims.owner(&claim.front_end).cloned();
                before.entry(claim.front_end).or_insert_with(owner);
            }
            self.claims.remove(name, old);
            self.claims.add(name, &new);
        }
        let mut affected = touched.clone();
        for (front_end, old) in before {
            let new = self.claims.owner(&front_end).cloned();
            if old != new {
                let owners = old.into_iter().chain(new);
                affected.extend(owners.map(|owner| owner.service));
            }
        }
        affected
    }

    /// Counts what is held from now on, and adds what changes of shared elements.
    fn count(&mut self, old: &[Entry], new: &[Entry], changes: &mut Changes) {
        let family = self.options.family;
        let mut before = SharedBefore::new();
        let differ = || old.iter().zip(new).filter(|(old, new)| old.1 != new.1);
        let entries = differ().flat_map(|(old, new)| [old, new]);
        for holding in entries.filter_map(|(_, holding)| holding.as_ref()) {
            for (set, key) in holding.elements(family).filter(|(set, _)| set.is_shared()) {
                let holder = || self.shared.holder(set, key).cloned();
                before.entry((set, key)).or_insert_with(holder);
            }
        }
        for ((name, old), (_, new)) in differ() {
            if let Some(old) = old {
                self.forget(name, old);
            }
            if let Some(new) = new {
                self.note(name, new);
            }
        }
        for ((set, key), old) in before {
            let new = self.shared.holder(set, key);
            let element =
                |holder: &NamespacedName| element(key.into(), None, shared_comment(set, holder));
            let (old, new) = (old.as_ref().map(element), new.map(element));
            if old != new {
                let change = change(changes, set);
                change.deleted.extend(old);
                change.added.extend(new);
            }
        }
    }

    /// The delta of changed elements, with the sets and chains that follow values in use.
    fn delta(&self, mut changes: Changes, before: &Values) -> TableDelta {
        let family = self.options.family;
        let sets = |values: &Values| values.sets().collect::<BTreeSet<SetId>>();
        let (old, new) = (sets(before), sets(&self.values));
        let mut delta = TableDelta::new(self.table());
        for set in new.difference(&old) {
            let set = set.definition(family);
            delta.add_sets.push((set.name, set.spec));
        }
        for set in old.difference(&new) {
            // With what is in it.
            changes.remove(set);
            delta.delete_sets.push(set.name().into());
        }
        delta.elements = changes.into_values().collect();
        let mut refill = |chain: &str, rules: Vec<_>| {
            let bodies = rules
                .into_iter()
                .map(|rule: crate::plan::nftables::RuleDef| rule.body);
            delta.refill.push((chain.into(), bodies.collect()));
        };
        let lengths = self.values.lengths();
        if lengths != before.lengths() {
            refill(SOURCE_RANGES, fixed::source_ranges(family, &lengths));
        }
        let timeouts = self.values.timeouts();
        if timeouts != before.timeouts() {
            refill(
                REMEMBER_CLIENTS,
                fixed::remember_clients(&self.options, &timeouts),
            );
        }
        delta
    }
}

/// Elements that come from configuration, in the order in which they are written.
pub(super) fn configured_elements(options: &NftablesOptions) -> Vec<(SetId, Element)> {
    let mut elements = Vec::new();
    configured::elements(options, &mut |set, element| elements.push((set, element)));
    elements
}

/// Adds what differs between two lists of elements.
pub(super) fn compare(changes: &mut Changes, old: &[(SetId, Element)], new: &[(SetId, Element)]) {
    for (set, element) in old.iter().filter(|element| !new.contains(element)) {
        change(changes, *set).deleted.push(element.clone());
    }
    for (set, element) in new.iter().filter(|element| !old.contains(element)) {
        change(changes, *set).added.push(element.clone());
    }
}

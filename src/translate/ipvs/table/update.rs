//! The comparison of what was with what is: what a change changes in the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::IpvsTable;
use super::claims::Before;
use crate::plan::ipvs::{Server, ServerKey};
use crate::plan::nftables::{NftRuleset, SOURCE_RANGES, SetChange, TableDelta};
use crate::plan::op::Element;
use crate::translate::ipvs::rules;
use crate::translate::ipvs::sets::IpvsSet;

/// What a change changes.
#[derive(Clone, Debug)]
pub struct TableUpdate {
    /// Virtual servers that differ: before and after.
    pub servers: BTreeMap<ServerKey, (Option<Server>, Option<Server>)>,
    /// Addresses that come to the dummy device.
    pub addresses_added: BTreeSet<IpAddr>,
    /// Addresses that go from it.
    pub addresses_deleted: BTreeSet<IpAddr>,
    /// Elements that come, with the sets and rules they need.
    pub added: TableDelta,
    /// Elements that go, when what they are for is gone.
    pub deleted: TableDelta,
    /// What was wrong with annotations.
    pub mistakes: Vec<String>,
}

impl TableUpdate {
    /// Nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
            && self.addresses_added.is_empty()
            && self.addresses_deleted.is_empty()
            && self.added.is_empty()
            && self.deleted.is_empty()
    }
}

impl IpvsTable {
    /// Compares what was with what is.
    pub(super) fn settle(&self, before: Before) -> TableUpdate {
        let mut update = TableUpdate {
            servers: BTreeMap::new(),
            addresses_added: BTreeSet::new(),
            addresses_deleted: BTreeSet::new(),
            added: TableDelta::new(self.table()),
            deleted: TableDelta::new(self.table()),
            mistakes: Vec::new(),
        };
        for (key, old) in before.front_ends {
            let (old, new) = (old.map(|f| f.server), self.server(&key).cloned());
            if old != new {
                update.servers.insert(key, (old, new));
            }
        }
        let mut added: BTreeMap<IpvsSet, Vec<Element>> = BTreeMap::new();
        let mut deleted: BTreeMap<IpvsSet, Vec<Element>> = BTreeMap::new();
        for (id, old) in before.elements {
            let new = self.elements.get(&id).map(|held| held.comment.clone());
            if old == new {
                continue;
            }
            if id.0 == IpvsSet::Addresses
                && let Some(address) = address_of(&id.1)
            {
                match new {
                    Some(_) => update.addresses_added.insert(address),
                    None => update.addresses_deleted.insert(address),
                };
            }
            match (old, new) {
                (None, Some(comment)) => {
                    added.entry(id.0).or_default().push(element(id.1, comment));
                }
                (Some(_), None) => deleted.entry(id.0).or_default().push(element(id.1, None)),
                // Only the comment is another: exchanged within one transaction.
                (Some(_), Some(comment)) => {
                    let change = SetChange {
                        set: id.0.name().into(),
                        deleted: vec![element(id.1.clone(), None)],
                        added: vec![element(id.1, comment)],
                    };
                    update.added.elements.push(change);
                }
                (None, None) => {}
            }
        }
        self.lengths_changed(&before.lengths, &mut update);
        for (set, added) in added {
            update.added.elements.push(SetChange {
                set: set.name().into(),
                deleted: Vec::new(),
                added,
            });
        }
        let going =
            |set: &IpvsSet| !matches!(set, IpvsSet::Sources(l) if !self.lengths.contains_key(l));
        for (set, deleted) in deleted.into_iter().filter(|(set, _)| going(set)) {
            update.deleted.elements.push(SetChange {
                set: set.name().into(),
                deleted,
                added: Vec::new(),
            });
        }
        update
    }

    /// Sets of source ranges come and go with their lengths, and with them the rules.
    fn lengths_changed(&self, before: &[u8], update: &mut TableUpdate) {
        let now = self.lengths_in_use();
        if now == before {
            return;
        }
        let rules = |lengths: &[u8]| {
            let chains = rules::chains(&self.options, lengths);
            let chain = chains
                .into_iter()
                .find(|chain| &*chain.name == SOURCE_RANGES);
            let rules = chain.into_iter().flat_map(|chain| chain.rules);
            (SOURCE_RANGES.into(), rules.map(|rule| rule.body).collect())
        };
        let new = now.iter().filter(|length| !before.contains(length));
        for length in new {
            let set = IpvsSet::Sources(*length).definition(self.options.family());
            update.added.add_sets.push((set.name, set.spec));
        }
        let gone = before.iter().filter(|length| !now.contains(length));
        let gone: Vec<Arc<str>> = gone
            .map(|length| IpvsSet::Sources(*length).name().into())
            .collect();
        if !update.added.add_sets.is_empty() {
            let mut both: Vec<u8> = now.iter().chain(before).copied().collect();
            both.sort_unstable_by(|a, b| b.cmp(a));
            both.dedup();
            update.added.refill.push(rules(&both));
        }
        if !gone.is_empty() {
            update.deleted.refill.push(rules(&now));
            update.deleted.delete_sets = gone;
        }
    }
}

pub(super) fn element(key: Box<[u8]>, comment: Option<Arc<str>>) -> Element {
    Element {
        key,
        data: None,
        interval_end: false,
        comment,
    }
}

fn address_of(key: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(key).map(IpAddr::from);
    let v6 = <[u8; 16]>::try_from(key).map(IpAddr::from);
    v4.or(v6).ok()
}

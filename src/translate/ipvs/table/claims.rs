//! Who has a front end, and which elements of the sets that gives: an element stays as long as
//! anybody holds it. Writes down what was before, for the comparison afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::IpvsTable;
use crate::model::NamespacedName;
use crate::plan::ipvs::ServerKey;
use crate::translate::ipvs::front_end::FrontEnd;
use crate::translate::ipvs::sets::IpvsSet;

/// Who claims a front end; the first in this order has it. Cluster IPs come before all others,
/// because those are allocated and others are asked for; what nobody claims any more comes last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Claimant {
    Cluster(NamespacedName, u16),
    Outside(NamespacedName, u16),
    Lingering,
}

/// An element by set and key.
pub(super) type ElementId = (IpvsSet, Box<[u8]>);

/// How many hold an element, and its comment.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) count: usize,
    pub(super) comment: Option<Arc<str>>,
}

/// What was before a change, of everything it touches.
#[derive(Default)]
pub(super) struct Before {
    pub(super) front_ends: BTreeMap<ServerKey, Option<FrontEnd>>,
    pub(super) elements: BTreeMap<ElementId, Option<Option<Arc<str>>>>,
    pub(super) lengths: Vec<u8>,
}

impl IpvsTable {
    pub(super) fn claim(
        &mut self,
        key: ServerKey,
        claimant: Claimant,
        front_end: FrontEnd,
        before: &mut Before,
    ) {
        let old = self.owner(&key).cloned();
        before.front_ends.entry(key).or_insert_with(|| old.clone());
        if claimant == Claimant::Lingering {
            self.kept.insert(key);
        }
        let claims = self.front_ends.entry(key).or_default();
        claims.insert(claimant, front_end);
        let new = claims.values().next().cloned();
        self.exchange(&key, old.as_ref(), new.as_ref(), before);
    }

    pub(super) fn renounce(&mut self, key: &ServerKey, claimant: &Claimant, before: &mut Before) {
        let old = self.owner(key).cloned();
        before.front_ends.entry(*key).or_insert_with(|| old.clone());
        let Some(claims) = self.front_ends.get_mut(key) else {
            return;
        };
        claims.remove(claimant);
        if *claimant == Claimant::Lingering {
            self.kept.remove(key);
        }
        let new = claims.values().next().cloned();
        if claims.is_empty() {
            self.front_ends.remove(key);
        }
        self.exchange(key, old.as_ref(), new.as_ref(), before);
    }

    /// Takes the elements of the new owner's front end in place of the old one's.
    fn exchange(
        &mut self,
        key: &ServerKey,
        old: Option<&FrontEnd>,
        new: Option<&FrontEnd>,
        before: &mut Before,
    ) {
        if old == new {
            return;
        }
        for (set, element, _) in old.into_iter().flat_map(|f| f.elements(key)) {
            self.drop_element(&(set, element), before);
        }
        for (set, element, comment) in new.into_iter().flat_map(|f| f.elements(key)) {
            self.hold_element((set, element), comment, before);
        }
    }

    pub(super) fn hold_element(
        &mut self,
        id: ElementId,
        comment: Option<Arc<str>>,
        before: &mut Before,
    ) {
        let held = self.elements.get(&id).map(|held| held.comment.clone());
        before.elements.entry(id.clone()).or_insert(held);
        if let IpvsSet::Sources(length) = id.0 {
            *self.lengths.entry(length).or_default() += 1;
        }
        let fresh = || Held {
            count: 0,
            comment: None,
        };
        let held = self.elements.entry(id).or_insert_with(fresh);
        held.count += 1;
        held.comment = comment;
    }

    pub(super) fn drop_element(&mut self, id: &ElementId, before: &mut Before) {
        let held = self.elements.get(id).map(|held| held.comment.clone());
        before.elements.entry(id.clone()).or_insert(held);
        if let IpvsSet::Sources(length) = id.0
            && let Some(count) = self.lengths.get_mut(&length)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.lengths.remove(&length);
            }
        }
        if let Some(held) = self.elements.get_mut(id) {
            held.count = held.count.saturating_sub(1);
            if held.count == 0 {
                self.elements.remove(id);
            }
        }
    }
}

//! Endpoints of a front end compared as a set: who has which slot does not matter.
//!
//! Slots that hold what is wanted anyhow stay as they are; of a list that lost an endpoint only
//! the last one moves.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::slots;
use super::state::{ElementKey, ElementValue};
use crate::plan::op::Element;

type Elements = HashMap<ElementKey, ElementValue>;
/// Slot and endpoint of every element of one list.
type Run<'a> = BTreeMap<u32, &'a [u8]>;

/// What goes and what comes.
#[derive(Clone, Debug, Default)]
pub(super) struct Difference {
    pub(super) deleted: Vec<Element>,
    pub(super) added: Vec<Element>,
}

/// The least change after which every list of `desired` has its endpoints, in any order.
pub(super) fn difference(desired: &Elements, present: &Elements) -> Difference {
    let mut wanted = runs(desired);
    let mut result = Difference::default();
    for ((front_end, base), old) in runs(present) {
        let new = wanted.remove(&(front_end, base)).unwrap_or_default();
        change(front_end, base, &old, &new, &mut result);
    }
    for ((front_end, base), new) in wanted {
        change(front_end, base, &Run::new(), &new, &mut result);
    }
    result
}

/// Groups elements into lists: by front end and first slot.
fn runs(elements: &Elements) -> BTreeMap<(&[u8], u32), Run<'_>> {
    let mut runs: BTreeMap<(&[u8], u32), Run<'_>> = BTreeMap::new();
    for (key, value) in elements {
        let Some((front_end, slot)) = key.key.split_last_chunk::<4>() else {
            continue;
        };
        let slot = u32::from_ne_bytes(*slot);
        let data = value.data.as_deref().unwrap_or_default();
        runs.entry((front_end, slots::base_of(slot)))
            .or_default()
            .insert(slot, data);
    }
    runs
}

fn change(front_end: &[u8], base: u32, old: &Run<'_>, new: &Run<'_>, result: &mut Difference) {
    let end = base.saturating_add(u32::try_from(new.len()).unwrap_or(u32::MAX));
    let mut missing: BTreeSet<&[u8]> = new.values().copied().collect();
    let mut kept: BTreeSet<u32> = BTreeSet::new();
    for (slot, data) in old {
        if *slot < end && missing.remove(data) {
            kept.insert(*slot);
        } else {
            result.deleted.push(element(front_end, *slot, data));
        }
    }
    let free = (base..end).filter(|slot| !kept.contains(slot));
    for (slot, data) in free.zip(missing) {
        result.added.push(element(front_end, slot, data));
    }
}

fn element(front_end: &[u8], slot: u32, data: &[u8]) -> Element {
    Element {
        key: [front_end, &slot.to_ne_bytes()].concat().into(),
        data: Some(data.into()),
        interval_end: false,
        comment: None,
    }
}

//! Endpoints of a front end compared as a set: who has which slot does not matter.
//!
//! Slots that hold what is wanted anyhow stay as they are; of a list that lost an endpoint only
//! the last one moves.

use std::collections::{BTreeMap, HashMap, HashSet};

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

/// Deals `wanted` endpoints out to as many slots, so that as many as can be stay where they are.
///
/// `present` says what the slots hold, counted from the first slot of the list; `None` for one
/// that is empty, and more than are wanted if the list was longer. Both lists must be of the same
/// size class (their first slot is the same), and `wanted` must not hold an endpoint twice.
#[must_use]
pub fn deal<'a>(present: &[Option<&[u8]>], wanted: &[&'a [u8]]) -> Vec<&'a [u8]> {
    let in_range = present.iter().take(wanted.len());
    let mut missing: HashMap<&[u8], &'a [u8]> = wanted.iter().map(|w| (*w, *w)).collect();
    let mut dealt: Vec<Option<&'a [u8]>> = in_range
        .map(|held| held.and_then(|endpoint| missing.remove(endpoint)))
        .collect();
    dealt.resize(wanted.len(), None);
    let mut rest = wanted.iter().filter(|w| missing.contains_key(**w));
    let filled = dealt
        .into_iter()
        .map(|slot| slot.or_else(|| rest.next().copied()));
    filled.flatten().collect()
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
    let mut seen = HashSet::new();
    let wanted: Vec<&[u8]> = new
        .values()
        .copied()
        .filter(|data| seen.insert(*data))
        .collect();
    let in_range: Vec<_> = (base..)
        .take(wanted.len())
        .map(|slot| old.get(&slot).copied())
        .collect();
    let dealt: Run<'_> = (base..).zip(deal(&in_range, &wanted)).collect();
    let differ = |of: &Run<'_>, from: &Run<'_>| {
        let differ = of
            .iter()
            .filter(|(slot, data)| from.get(slot) != Some(data));
        differ
            .map(|(slot, data)| element(front_end, *slot, data))
            .collect::<Vec<_>>()
    };
    result.deleted.extend(differ(old, &dealt));
    result.added.extend(differ(&dealt, old));
}

fn element(front_end: &[u8], slot: u32, data: &[u8]) -> Element {
    Element {
        key: [front_end, &slot.to_ne_bytes()].concat().into(),
        data: Some(data.into()),
        interval_end: false,
        comment: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dealt(present: &str, wanted: &str) -> String {
        let present: Vec<Option<&[u8]>> = present
            .as_bytes()
            .chunks(1)
            .map(|held| (held != b"-").then_some(held))
            .collect();
        let wanted: Vec<&[u8]> = wanted.as_bytes().chunks(1).collect();
        let dealt = deal(&present, &wanted).concat();
        String::from_utf8(dealt).unwrap()
    }

    #[test]
    fn who_is_wanted_stays_and_gaps_are_filled_in_order() {
        let table = [
            ("", "abc", "abc"),
            ("cab", "abc", "cab"),
            ("abcd", "abcde", "abcde"),
            ("abcd", "bcd", "dbc"),
            ("abcd", "acd", "adc"),
            ("abcd", "abc", "abc"),
            ("abcd", "xbyd", "xbyd"),
            ("a-c", "abc", "abc"),
            ("aac", "abc", "abc"),
            ("-", "", ""),
        ];
        for (present, wanted, expected) in table {
            assert_eq!(dealt(present, wanted), expected, "{present} {wanted}");
        }
    }
}

//! Values in use: source-range lengths and affinity timeouts, each with a set of its own as long
//! as that set has elements.

use std::collections::BTreeMap;

use super::super::sets::SetId;

/// How many elements the variable sets have.
#[derive(Clone, Debug, Default)]
pub(super) struct Values {
    elements: BTreeMap<SetId, usize>,
}

impl Values {
    /// An element comes; those of sets that are always there do not matter.
    pub(super) fn add(&mut self, set: SetId) {
        if set.is_variable() {
            *self.elements.entry(set).or_default() += 1;
        }
    }

    /// An element goes.
    pub(super) fn remove(&mut self, set: SetId) {
        if let Some(count) = self.elements.get_mut(&set) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.elements.remove(&set);
            }
        }
    }

    /// The variable sets that have elements.
    pub(super) fn sets(&self) -> impl Iterator<Item = SetId> {
        self.elements.keys().copied()
    }

    /// Source-range lengths in use, longest first.
    pub(super) fn lengths(&self) -> Vec<u8> {
        let lengths = self.sets().filter_map(|set| match set {
            SetId::Sources(length) => Some(length),
            _ => None,
        });
        let mut lengths: Vec<u8> = lengths.collect();
        lengths.reverse();
        lengths
    }

    /// Affinity timeouts in use, in seconds, shortest first.
    pub(super) fn timeouts(&self) -> Vec<u32> {
        let timeouts = self.sets().filter_map(|set| match set {
            SetId::AffinityEndpoints(seconds) => Some(seconds),
            _ => None,
        });
        timeouts.collect()
    }
}

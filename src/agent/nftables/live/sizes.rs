//! How many elements the kernel holds, for metrics: counted once, then kept up to date.

use std::borrow::Cow;

use super::LiveSync;
use crate::agent::run::programmer::Size;
use crate::plan::nftables::{NftRuleset, TableDelta};
use crate::translate::nftables::SetId;

impl LiveSync {
    pub(super) fn count(&mut self) {
        self.sizes.clear();
        for table in &self.tables {
            let family = table.options().family;
            for name in SetId::FIXED.iter().filter_map(|set| part(&set.name())) {
                self.sizes.insert((family, name), 0);
            }
            table.for_each_element(&mut |set, _| {
                if let Some(name) = part(set) {
                    *self.sizes.entry((family, name)).or_default() += 1;
                }
            });
        }
    }

    pub(super) fn recount(&mut self, delta: &TableDelta) {
        for change in &delta.elements {
            if let Some(name) = part(&change.set) {
                let count = self.sizes.entry((delta.table.family, name)).or_default();
                *count = (*count + change.added.len()).saturating_sub(change.deleted.len());
            }
        }
    }

    pub(super) fn sizes(&self) -> Vec<Size> {
        let all = self.sizes.iter();
        all.map(|((family, part), count)| Size {
            family: *family,
            part,
            count: *count,
        })
        .collect()
    }
}

/// The set's name for ever, if it is one of those that are always there.
fn part(set: &str) -> Option<&'static str> {
    SetId::FIXED
        .into_iter()
        .find_map(|known| match known.name() {
            Cow::Borrowed(name) if name == set => Some(name),
            _ => None,
        })
}

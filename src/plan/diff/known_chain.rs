//! A chain of the kernel's that is held in memory with the handles of its rules, so that it can be
//! changed without being listed.
//!
//! The same comparison as a [`Plan`](super::Plan) makes, chain by chain: rules that stay are left
//! alone, and rules that no packet can match both keep the places they have.

use super::order::RuleKeys;
use super::present::PresentRule;
use super::script::{Alignment, Edit};
use crate::plan::digest::RuleDigest;
use crate::plan::op::Place;

/// The rules of a chain in the kernel's order.
#[derive(Clone, Debug, Default)]
pub struct KnownChain {
    rules: Vec<PresentRule>,
}

/// One step within a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnownEdit {
    /// Delete the rule with this handle.
    Delete(u64),
    /// Add the desired rule with this index.
    Add {
        /// Index in what is desired.
        rule: usize,
        /// Where it goes.
        place: Place,
    },
}

/// What leads from the chain to what is desired.
#[derive(Clone, Debug)]
pub struct ChainEdits {
    /// All rules go first: fewer messages than one by one.
    flush: bool,
    edits: Vec<KnownEdit>,
    /// The rules afterwards; those without a handle are the added ones in the order of the edits.
    after: Vec<(RuleDigest, Option<u64>)>,
}

impl ChainEdits {
    /// Whether the chain is to be flushed before the edits.
    #[must_use]
    pub fn flush(&self) -> bool {
        self.flush
    }

    /// The steps, in order.
    #[must_use]
    pub fn edits(&self) -> &[KnownEdit] {
        &self.edits
    }
}

impl KnownChain {
    /// A chain as it was listed: digests with handles, in order.
    #[must_use]
    pub fn new(rules: impl IntoIterator<Item = (RuleDigest, u64)>) -> Self {
        let rules = rules.into_iter();
        Self {
            rules: rules
                .map(|(digest, handle)| PresentRule { handle, digest })
                .collect(),
        }
    }

    /// How many rules it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether it has no rule.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What leads to the desired rules; `None` if they are there. Takes time for the chain's length.
    #[must_use]
    pub fn edits(&self, desired: &[(RuleDigest, RuleKeys)]) -> Option<ChainEdits> {
        let wanted: Vec<_> = desired.iter().map(|(digest, _)| *digest).collect();
        let present: Vec<_> = self.rules.iter().map(|rule| rule.digest).collect();
        if present == wanted {
            return None;
        }
        let keys: Vec<_> = desired.iter().map(|(_, keys)| *keys).collect();
        let alignment = Alignment::new(&present, &wanted, &keys);
        let changes = wanted.len() + present.len() - 2 * alignment.kept();
        if changes == 0 {
            return None;
        }
        Some(if changes > 1 + wanted.len() {
            refilled(&wanted)
        } else {
            self.edited(&alignment, &wanted)
        })
    }

    /// Follows edits that the kernel has taken. `handles` are those of the added rules, in order;
    /// the chain is not known any more if one is missing, and that is `false`.
    #[must_use]
    pub fn settle(&mut self, edits: ChainEdits, handles: &mut impl Iterator<Item = u64>) -> bool {
        self.rules.clear();
        for (digest, handle) in edits.after {
            let Some(handle) = handle.or_else(|| handles.next()) else {
                return false;
            };
            self.rules.push(PresentRule { handle, digest });
        }
        true
    }

    fn edited(&self, alignment: &Alignment, wanted: &[RuleDigest]) -> ChainEdits {
        let edits = alignment.edits(&self.rules);
        let mut after = Vec::with_capacity(wanted.len());
        for part in alignment.parts() {
            after.extend(match part {
                Part::Kept(at) => self.rules.get(at).map(|r| (r.digest, Some(r.handle))),
                Part::New(at) => wanted.get(at).map(|digest| (*digest, None)),
            });
        }
        let edits = edits.into_iter().map(|edit| match edit {
            Edit::Delete(handle) => KnownEdit::Delete(handle),
            Edit::Add { rule, place } => KnownEdit::Add {
                rule: rule as usize,
                place,
            },
        });
        ChainEdits {
            flush: false,
            edits: edits.collect(),
            after,
        }
    }
}

/// A rule of the aligned chain.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    /// A present rule that stays, as an index.
    Kept(usize),
    /// A desired rule that comes, as an index.
    New(usize),
}

fn refilled(wanted: &[RuleDigest]) -> ChainEdits {
    let add = |rule| KnownEdit::Add {
        rule,
        place: Place::Append,
    };
    ChainEdits {
        flush: true,
        edits: (0..wanted.len()).map(add).collect(),
        after: wanted.iter().map(|digest| (*digest, None)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plan::xtables::rule::{XtRule, XtTarget};

    fn digest(name: u8) -> RuleDigest {
        RuleDigest::of(&XtRule {
            target: Some(XtTarget::Jump(format!("KUBE-{name}").into())),
            ..XtRule::default()
        })
    }

    /// Does to a list of rules what the kernel does, and collects the handles it gives.
    fn apply(
        rules: &mut Vec<(RuleDigest, u64)>,
        edits: &ChainEdits,
        wanted: &[RuleDigest],
    ) -> Vec<u64> {
        let mut handles = Vec::new();
        if edits.flush() {
            rules.clear();
        }
        let at = |rules: &[(RuleDigest, u64)], handle| {
            rules.iter().position(|rule| rule.1 == handle).unwrap()
        };
        for (edit, new) in edits.edits().iter().zip(1000..) {
            match *edit {
                KnownEdit::Delete(handle) => {
                    rules.remove(at(rules, handle));
                }
                KnownEdit::Add { rule, place } => {
                    let place = match place {
                        Place::Append => rules.len(),
                        Place::Prepend => 0,
                        Place::Before(handle) => at(rules, handle),
                        Place::After(handle) => at(rules, handle) + 1,
                    };
                    rules.insert(place, (wanted[rule], new));
                    handles.push(new);
                }
            }
        }
        handles
    }

    proptest! {
        #[test]
        fn a_chain_in_memory_follows_the_kernels(
            present in prop::collection::vec(0..12_u8, 0..12),
            wanted in prop::collection::vec(0..12_u8, 0..12),
        ) {
            let mut kernel: Vec<_> = present.iter().map(|name| digest(*name)).zip(1..).collect();
            let mut known = KnownChain::new(kernel.iter().copied());
            let wanted: Vec<_> = wanted.iter().map(|name| digest(*name)).collect();
            let desired: Vec<_> = wanted.iter().map(|d| (*d, RuleKeys::default())).collect();
            if let Some(edits) = known.edits(&desired) {
                let handles = apply(&mut kernel, &edits, &wanted);
                prop_assert!(known.settle(edits, &mut handles.into_iter()));
            }
            let in_kernel: Vec<_> = kernel.iter().map(|rule| rule.0).collect();
            prop_assert_eq!(in_kernel, wanted);
            let remembered: Vec<_> = known.rules.iter().map(|r| (r.digest, r.handle)).collect();
            prop_assert_eq!(remembered, kernel);
        }
    }

    #[test]
    fn without_all_handles_a_chain_is_not_known() {
        let mut known = KnownChain::default();
        let desired = [
            (digest(1), RuleKeys::default()),
            (digest(2), RuleKeys::default()),
        ];
        let edits = known.edits(&desired).unwrap();
        assert!(!known.settle(edits, &mut [7].into_iter()));
    }
}

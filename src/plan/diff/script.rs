//! The shortest change from one list of rules to another.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use super::known_chain::Part;
use super::order::{self, RuleKeys};
use super::owned;
use super::present::PresentRule;
use crate::model::IpFamily;
use crate::plan::digest::RuleDigest;
use crate::plan::expr::RuleBody;
use crate::plan::op::Place;
use crate::plan::xtables::rule::XtChain;

/// One step within a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    /// Delete the rule with this handle.
    Delete(u64),
    /// Add the desired rule with this index. Additions come in order, so that one after another
    /// before the same rule they end up in order.
    Add {
        /// Index in the desired chain.
        rule: u32,
        /// Where it goes.
        place: Place,
    },
}

/// Desired rules laid beside present ones.
#[derive(Clone, Debug)]
pub(super) struct Alignment {
    /// The desired rules, as indices, in the order they will have.
    order: Vec<usize>,
    /// Which rules stay: (present index, place in `order`), increasing in both.
    kept: Vec<(usize, usize)>,
    present: usize,
}

/// What lies between two rules that stay.
#[derive(Clone, Debug)]
pub(super) struct Gap<'a> {
    /// Present rules that go, as indices.
    pub(super) gone: Range<usize>,
    /// Desired rules that come in their place, as indices.
    pub(super) new: &'a [usize],
}

impl Alignment {
    /// Compares two chains. `keys` are those of the desired rules, or none where order matters.
    pub(super) fn new(present: &[RuleDigest], desired: &[RuleDigest], keys: &[RuleKeys]) -> Self {
        let order = if keys.is_empty() {
            (0..desired.len()).collect()
        } else {
            order::aligned(present, desired, keys)
        };
        let desired: Vec<_> = order
            .iter()
            .filter_map(|at| desired.get(*at).copied())
            .collect();
        let kept = kept(present, &desired);
        Self {
            order,
            kept,
            present: present.len(),
        }
    }

    /// Compares a chain as the kernel holds it with what it should be.
    pub(super) fn of_chain(
        present: &[(u64, RuleBody)],
        desired: &XtChain,
        family: IpFamily,
    ) -> Self {
        let old: Vec<_> = present
            .iter()
            .map(|(_, b)| RuleDigest::of_body(b, family))
            .collect();
        let new: Vec<_> = desired.rules.iter().map(RuleDigest::of).collect();
        let keys: Vec<_> = if owned::is_service_chain(desired.table, &desired.name) {
            Vec::new()
        } else {
            desired.rules.iter().map(RuleKeys::of).collect()
        };
        Self::new(&old, &new, &keys)
    }

    /// How many rules stay.
    pub(super) fn kept(&self) -> usize {
        self.kept.len()
    }

    /// The desired rules that stay, as indices.
    pub(super) fn kept_rules(&self) -> impl Iterator<Item = usize> {
        self.kept
            .iter()
            .filter_map(|(_, at)| self.order.get(*at).copied())
    }

    /// The gaps before, between and behind the rules that stay.
    pub(super) fn gaps(&self) -> impl Iterator<Item = Gap<'_>> {
        let starts = std::iter::once((0, 0)).chain(self.kept.iter().map(|(p, d)| (p + 1, d + 1)));
        let ends = self
            .kept
            .iter()
            .copied()
            .chain([(self.present, self.order.len())]);
        starts
            .zip(ends)
            .map(|((old, new), (old_end, new_end))| Gap {
                gone: old..old_end,
                new: self.order.get(new..new_end).unwrap_or_default(),
            })
    }

    /// The rules as they will be, in order.
    pub(super) fn parts(&self) -> impl Iterator<Item = Part> {
        let mut kept = self.kept.iter().peekable();
        let order = self.order.iter().enumerate();
        order.map(
            move |(place, desired)| match kept.next_if(|(_, at)| *at == place) {
                Some((present, _)) => Part::Kept(*present),
                None => Part::New(*desired),
            },
        )
    }

    /// The steps that leave alone what stays. New rules go before the next rule that stays, or at
    /// the end.
    pub(super) fn edits(&self, present: &[PresentRule]) -> Vec<Edit> {
        let mut edits = Vec::new();
        for gap in self.gaps() {
            let place = present.get(gap.gone.end);
            let place = place.map_or(Place::Append, |rule| Place::Before(rule.handle));
            let gone = present.get(gap.gone).unwrap_or_default();
            edits.extend(gone.iter().map(|rule| Edit::Delete(rule.handle)));
            let new = gap.new.iter().filter_map(|rule| u32::try_from(*rule).ok());
            edits.extend(new.map(|rule| Edit::Add { rule, place }));
        }
        edits
    }
}

/// The pairs (present index, desired index) of rules that stay, increasing in both.
///
/// Equal rules at both ends are paired first. In between, the k-th occurrence of a rule is paired
/// with the k-th, and of those pairs the longest increasing run is kept: the longest common
/// subsequence where rules do not repeat, in O(n log n) always. kube-proxy's rules hardly repeat;
/// where they do, a few more may be rewritten than necessary.
fn kept(present: &[RuleDigest], desired: &[RuleDigest]) -> Vec<(usize, usize)> {
    let same = |(a, b): &(&RuleDigest, &RuleDigest)| a == b && **a != RuleDigest::FOREIGN;
    let head = present.iter().zip(desired).take_while(same).count();
    let present_rest = present.get(head..).unwrap_or_default();
    let desired_rest = desired.get(head..).unwrap_or_default();
    let tail = present_rest
        .iter()
        .rev()
        .zip(desired_rest.iter().rev())
        .take_while(same)
        .count();

    let mut pairs: Vec<_> = (0..head).map(|i| (i, i)).collect();
    let middle = paired(
        present_rest
            .get(..present_rest.len() - tail)
            .unwrap_or_default(),
        desired_rest
            .get(..desired_rest.len() - tail)
            .unwrap_or_default(),
    );
    pairs.extend(
        longest_increasing(&middle)
            .into_iter()
            .map(|(p, d)| (p + head, d + head)),
    );
    pairs.extend(
        (1..=tail)
            .rev()
            .map(|k| (present.len() - k, desired.len() - k)),
    );
    pairs
}

/// Pairs equal rules, k-th occurrence with k-th, in the order of `present`.
fn paired(present: &[RuleDigest], desired: &[RuleDigest]) -> Vec<(usize, usize)> {
    let mut places: HashMap<RuleDigest, VecDeque<usize>> = HashMap::new();
    if !present.is_empty() {
        for (at, digest) in desired.iter().enumerate() {
            places.entry(*digest).or_default().push_back(at);
        }
    }
    let pairs = present
        .iter()
        .enumerate()
        .filter(|(_, d)| **d != RuleDigest::FOREIGN);
    pairs
        .filter_map(|(at, digest)| Some((at, places.get_mut(digest)?.pop_front()?)))
        .collect()
}

/// The longest run of pairs whose second parts increase; the first parts do already.
fn longest_increasing(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    // ends[k]: the pair with the smallest second part that ends a run of k + 1 pairs.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<Option<usize>> = Vec::with_capacity(pairs.len());
    let second = |at: usize| pairs.get(at).map_or(0, |(_, desired)| *desired);
    for (at, (_, desired)) in pairs.iter().enumerate() {
        let length = ends.partition_point(|end| second(*end) < *desired);
        before.push(length.checked_sub(1).and_then(|k| ends.get(k).copied()));
        match ends.get_mut(length) {
            Some(end) => *end = at,
            None => ends.push(at),
        }
    }
    let mut run = Vec::with_capacity(ends.len());
    let mut next = ends.last().copied();
    while let Some(at) = next {
        run.extend(pairs.get(at));
        next = before.get(at).copied().flatten();
    }
    run.reverse();
    run
}

//! The shortest change from one list of rules to another.

use std::collections::{HashMap, VecDeque};

use super::present::PresentRule;
use crate::plan::digest::RuleDigest;
use crate::plan::op::Place;

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

/// The pairs (present index, desired index) of rules that stay, increasing in both.
///
/// Equal rules at both ends are paired first. In between, the k-th occurrence of a rule is paired
/// with the k-th, and of those pairs the longest increasing run is kept: the longest common
/// subsequence where rules do not repeat, in O(n log n) always. kube-proxy's rules hardly repeat;
/// where they do, a few more may be rewritten than necessary.
pub(super) fn kept(present: &[RuleDigest], desired: &[RuleDigest]) -> Vec<(usize, usize)> {
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

/// The steps that leave the pairs alone. New rules go before the next rule that stays, or at the
/// end.
pub(super) fn edits(present: &[PresentRule], desired: usize, kept: &[(usize, usize)]) -> Vec<Edit> {
    let mut edits = Vec::new();
    let mut next_present = 0;
    let mut next_desired = 0;
    let ends = [(present.len(), desired)];
    for (at_present, at_desired) in kept.iter().chain(&ends).copied() {
        let gone = present.get(next_present..at_present).unwrap_or_default();
        edits.extend(gone.iter().map(|rule| Edit::Delete(rule.handle)));
        let place = present
            .get(at_present)
            .map_or(Place::Append, |r| Place::Before(r.handle));
        let new = (next_desired..at_desired).filter_map(|rule| u32::try_from(rule).ok());
        edits.extend(new.map(|rule| Edit::Add { rule, place }));
        next_present = at_present + 1;
        next_desired = at_desired + 1;
    }
    edits
}

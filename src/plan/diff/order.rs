//! Where the order of rules has no meaning.
//!
//! Rules that no packet can match both may change places. kube-proxy writes its dispatch chains in
//! the order of a hash table, new after every start: taking over from it must not rewrite them.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::LazyLock;

use crate::plan::digest::RuleDigest;
use crate::plan::xtables::encode::canonical;
use crate::plan::xtables::rule::{XtMatch, XtRule};

static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// What a rule's packets have in common, as hashes; zero where the rule does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleKeys {
    /// Protocol and destination port.
    port: u64,
    /// Protocol, destination port and destination address.
    address: u64,
}

impl RuleKeys {
    /// The keys of a rule. A rule that does something to packets before it has seen their port has
    /// none.
    #[must_use]
    pub fn of(rule: &XtRule) -> Self {
        let rule = canonical(rule);
        let mut port = None;
        for m in &rule.matches {
            match m {
                XtMatch::Recent { .. } | XtMatch::Nfacct(_) => break,
                XtMatch::Ports { dport: Some(dport) } => {
                    port = Some(*dport);
                    break;
                }
                _ => {}
            }
        }
        let Some(port) = port else {
            return Self::default();
        };
        let hash = |address| KEY.hash_one((rule.protocol, port, address)).max(1);
        let host = rule
            .destination
            .as_ref()
            .filter(|d| !d.not && d.value.prefix_len() == d.value.max_prefix_len());
        Self {
            port: hash(None),
            address: host.map_or(0, |d| hash(Some(d.value))),
        }
    }
}

/// The desired rules in the order that is closest to the present one among those that mean the
/// same, as indices.
pub(super) fn aligned(
    present: &[RuleDigest],
    desired: &[RuleDigest],
    keys: &[RuleKeys],
) -> Vec<usize> {
    let ranks = ranks(present, desired);
    let key = |at: usize| keys.get(at).copied().unwrap_or_default();
    let mut order = Vec::with_capacity(desired.len());
    let mut at = 0;
    while at < desired.len() {
        let end = (at..desired.len())
            .find(|i| key(*i).port == 0)
            .unwrap_or(desired.len());
        order.extend(segment(at..end, &ranks, keys));
        // The rule without a key stays where it is among all others.
        order.extend((end < desired.len()).then_some(end));
        at = end + 1;
    }
    order
}

/// The present place of each desired rule, k-th occurrence for k-th.
fn ranks(present: &[RuleDigest], desired: &[RuleDigest]) -> Vec<Option<usize>> {
    let mut places: HashMap<RuleDigest, VecDeque<usize>> = HashMap::new();
    for (at, digest) in present.iter().enumerate() {
        places.entry(*digest).or_default().push_back(at);
    }
    desired
        .iter()
        .map(|digest| places.get_mut(digest)?.pop_front())
        .collect()
}

/// A run of rules with keys in the present order, new rules behind those they are desired behind;
/// in the desired order if that would let rules for the same packets overtake each other.
fn segment(range: Range<usize>, ranks: &[Option<usize>], keys: &[RuleKeys]) -> Vec<usize> {
    let key = |at: usize| keys.get(at).copied().unwrap_or_default();
    let addressed = range.clone().all(|at| key(at).address != 0);
    let key = |at: usize| {
        if addressed {
            key(at).address
        } else {
            key(at).port
        }
    };
    let mut groups: Vec<(Option<usize>, Vec<usize>)> = vec![(None, Vec::new())];
    for at in range.clone() {
        match ranks.get(at).copied().flatten() {
            Some(rank) => groups.push((Some(rank), vec![at])),
            None => groups
                .last_mut()
                .into_iter()
                .for_each(|(_, group)| group.push(at)),
        }
    }
    groups.sort_by_key(|(rank, _)| *rank);
    let order: Vec<usize> = groups.into_iter().flat_map(|(_, group)| group).collect();
    let mut last: HashMap<u64, usize> = HashMap::new();
    let overtaken = order
        .iter()
        .any(|at| last.insert(key(*at), *at).is_some_and(|l| l > *at));
    if overtaken { range.collect() } else { order }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Protocol;
    use crate::plan::xtables::rule::{Maybe, XtTarget};

    fn rule(address: Option<&str>, port: Option<u16>, to: &str) -> XtRule {
        XtRule {
            destination: address.map(|a| Maybe::is(a.parse().unwrap())),
            protocol: port.map(|_| Protocol::Tcp),
            matches: port
                .map(|p| XtMatch::Ports { dport: Some(p) })
                .into_iter()
                .collect(),
            target: Some(XtTarget::Jump(to.into())),
            ..XtRule::default()
        }
    }

    fn order(present: &[&XtRule], desired: &[&XtRule]) -> Vec<usize> {
        let digests =
            |rules: &[&XtRule]| -> Vec<_> { rules.iter().map(|r| RuleDigest::of(r)).collect() };
        let keys: Vec<_> = desired.iter().map(|r| RuleKeys::of(r)).collect();
        aligned(&digests(present), &digests(desired), &keys)
    }

    #[test]
    fn rules_for_other_packets_take_the_present_order() {
        let a = rule(Some("10.0.0.1/32"), Some(80), "A");
        let b = rule(Some("10.0.0.2/32"), Some(80), "B");
        let c = rule(Some("10.0.0.1/32"), Some(81), "C");
        let new = rule(Some("10.0.0.3/32"), Some(80), "N");
        assert_eq!(order(&[&c, &b, &a], &[&a, &new, &b, &c]), [3, 2, 0, 1]);
    }

    #[test]
    fn rules_for_the_same_packets_never_overtake_each_other() {
        let first = rule(None, Some(80), "A");
        let second = rule(Some("10.0.0.1/32"), Some(80), "B");
        assert_eq!(order(&[&second, &first], &[&first, &second]), [0, 1]);
        let other = rule(None, Some(81), "C");
        assert_eq!(order(&[&other, &first], &[&first, &other]), [1, 0]);
    }

    #[test]
    fn a_rule_for_all_packets_divides_the_chain() {
        let a = rule(Some("10.0.0.1/32"), Some(80), "A");
        let all = rule(None, None, "ALL");
        let net = rule(Some("10.0.0.0/8"), None, "NET");
        assert_eq!(order(&[&all, &a], &[&a, &all]), [0, 1]);
        assert_eq!(order(&[&net, &a], &[&a, &net]), [0, 1]);
    }

    #[test]
    fn a_rule_that_counts_before_it_looks_at_the_port_stays() {
        let mut counting = rule(None, Some(80), "A");
        counting.matches.insert(0, XtMatch::Nfacct("n".into()));
        let other = rule(None, Some(81), "B");
        assert_eq!(order(&[&other, &counting], &[&counting, &other]), [0, 1]);
    }
}

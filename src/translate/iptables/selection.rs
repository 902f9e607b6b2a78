//! The choice among endpoints: affinity first, then by probability.

use std::sync::Arc;

use super::decision::{Decision, NamedEndpoint};
use super::rules::{RuleWords, rule};
use crate::plan::xtables::rule::{RecentOp, XtMatch, XtRule};

/// Rules that pick one of the endpoints.
///
/// With client affinity, first one rule per endpoint for clients it has served lately. Then rule k
/// of n (from 0) matches with 1/(n-k), so that every endpoint gets the same share; the last needs
/// no condition.
pub(super) fn selection_rules(decision: &Decision, endpoints: &[NamedEndpoint]) -> Vec<XtRule> {
    let jumps: Vec<(Option<Arc<str>>, &NamedEndpoint)> = endpoints
        .iter()
        .map(|endpoint| (comment(decision, endpoint), endpoint))
        .collect();
    let start = |comment: &Option<Arc<str>>| match comment {
        Some(text) => rule().comment(text.clone()),
        None => rule(),
    };
    let mut rules = Vec::with_capacity(jumps.len() * 2);
    if let Some(seconds) = decision.port.affinity_seconds {
        rules.extend(jumps.iter().map(|(comment, endpoint)| {
            start(comment)
                .and(XtMatch::Recent {
                    op: RecentOp::CheckAndReap { seconds },
                    list: endpoint.chain.clone(),
                })
                .jump(endpoint.chain.clone())
        }));
    }
    let count = jumps.len();
    rules.extend(
        jumps
            .iter()
            .enumerate()
            .map(|(index, (comment, endpoint))| {
                let mut pick = start(comment);
                if index + 1 < count {
                    pick = pick.and(XtMatch::Random {
                        threshold: probability_threshold(count - index),
                    });
                }
                pick.jump(endpoint.chain.clone())
            }),
    );
    rules
}

fn comment(decision: &Decision, endpoint: &NamedEndpoint) -> Option<Arc<str>> {
    (!decision.terse).then(|| format!("{} -> {}", decision.text, endpoint.socket).into())
}

/// 1/`count` as xt_statistic stores it once kube-proxy has printed it with ten decimals and
/// iptables has read it back: `round(2³¹ · p)`.
///
/// Both roundings are part of the rule: 1/3 becomes 0.33333333349. A `count` of 0 is taken for 1.
#[must_use]
pub fn probability_threshold(count: usize) -> u32 {
    let count = u32::try_from(count.max(1)).unwrap_or(u32::MAX);
    let printed = format!("{:.10}", 1.0 / f64::from(count));
    let read_back: f64 = printed.parse().unwrap_or(0.0);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "at most 2^31, and whole after rounding"
    )]
    let threshold = (read_back * 2_147_483_648.0).round() as u32;
    threshold
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `iptables-save` prints for a stored threshold.
    fn shown(threshold: u32) -> String {
        format!("{:.11}", f64::from(threshold) / 2_147_483_648.0)
    }

    #[test]
    fn probabilities_are_those_iptables_keeps_of_what_kube_proxy_prints() {
        let table = [
            (2, "0.50000000000"),
            (3, "0.33333333349"),
            (4, "0.25000000000"),
            (5, "0.20000000019"),
            (6, "0.16666666651"),
            (7, "0.14285714272"),
            (8, "0.12500000000"),
            (9, "0.11111111101"),
            (10, "0.10000000009"),
            (11, "0.09090909082"),
            (12, "0.08333333349"),
            (20, "0.04999999981"),
        ];
        for (count, text) in table {
            assert_eq!(shown(probability_threshold(count)), text, "1/{count}");
        }
    }

    #[test]
    fn a_single_endpoint_is_certain() {
        assert_eq!(probability_threshold(1), 1 << 31);
        assert_eq!(probability_threshold(0), 1 << 31);
    }

    #[test]
    fn printing_ten_decimals_rounds_ties_to_even() {
        // 1/2048 is 0.00048828125 exactly.
        let expected = (0.000_488_281_2_f64 * 2_147_483_648.0).round();
        assert!((f64::from(probability_threshold(2048)) - expected).abs() < 0.5);
    }

    #[test]
    fn fewer_endpoints_left_mean_a_higher_probability() {
        let mut last = probability_threshold(20_000);
        for count in (2..20_000).rev() {
            let next = probability_threshold(count);
            assert!(next > last, "1/{count}");
            last = next;
        }
    }
}

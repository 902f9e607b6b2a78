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

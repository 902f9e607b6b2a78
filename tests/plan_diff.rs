//! From any state to any other, in steps the kernel takes, touching nobody else's rules.

#[path = "plan_support/kernel.rs"]
mod kernel;
#[path = "plan_support/ruleset.rs"]
mod ruleset;
#[path = "plan_diff/told.rs"]
mod told;

use std::collections::BTreeMap;
use std::convert::Infallible;

use kernel::Kernel;
use portolan::model::IpFamily;
use portolan::plan::diff::{
    ChangeKind, DesiredState, DeviationKind, NoRuleset, changes, cleanup, plan, verify,
};
use portolan::plan::expr::{Expr, RuleBody, Verdict};
use portolan::plan::op::{Op, Place};
use portolan::plan::xtables::encode::encode;
use portolan::plan::xtables::rule::{XtRule, XtTable, XtTarget};
use proptest::prelude::*;
use ruleset::{Rules, dispatch, endpoint_chain, rules, service_chain};

fn foreign() -> RuleBody {
    let exprs = vec![Expr::Other {
        name: "log".into(),
        data: Box::default(),
    }];
    RuleBody {
        exprs,
        ..RuleBody::default()
    }
}

fn jump_to(chain: &str) -> RuleBody {
    let exprs = vec![Expr::Counter, Expr::Verdict(Verdict::Jump(chain.into()))];
    RuleBody {
        exprs,
        ..RuleBody::default()
    }
}

fn applied(rules: &Rules) -> Kernel {
    let mut kernel = Kernel::default();
    kernel.apply(rules);
    kernel
}

/// Chains by table and name, with the rules that no packet can match both in one order.
fn regardless_of_order(mut contents: BTreeMap<(String, String), Vec<RuleBody>>) -> Vec<String> {
    for (key, rules) in &mut contents {
        if key.1 == "KUBE-SERVICES" {
            rules.sort_by_key(|rule| format!("{rule:?}"));
        }
    }
    contents.iter().map(|chain| format!("{chain:?}")).collect()
}

/// Places where somebody else may have put a rule.
const PLACES: [(&str, &str); 6] = [
    ("nat", "KUBE-SERVICES"),
    ("nat", "KUBE-MARK-MASQ"),
    ("filter", "KUBE-SERVICES"),
    ("nat", "PREROUTING"),
    ("filter", "INPUT"),
    ("filter", "DOCKER"),
];

proptest! {
    // A failing case is printed; nothing is written into the tree.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_state_becomes_any_other(
        a in rules(), b in rules(), meddled in proptest::collection::vec((0..6usize, 0..4usize), 0..4)
    ) {
        let mut kernel = applied(&a);
        for (place, at) in &meddled {
            let (table, chain) = PLACES[*place];
            kernel.meddle(table, chain, *at, foreign());
        }
        let (plan, _) = kernel.apply(&b);
        prop_assert_eq!(plan.is_empty(), plan.counts().steps == 0);
        let mut contents = kernel.contents();
        // Somebody else's rules are gone from our chains, and still there in all others.
        for (place, _) in &meddled {
            let (table, chain) = PLACES[*place];
            let rules = contents.get_mut(&(table.to_owned(), chain.to_owned())).unwrap();
            let kept = rules.iter().filter(|r| **r == foreign()).count();
            prop_assert_eq!(kept > 0, *place >= 3);
        }
        contents.remove(&("filter".to_owned(), "DOCKER".to_owned()));
        for rules in contents.values_mut() {
            rules.retain(|r| *r != foreign());
        }
        prop_assert_eq!(regardless_of_order(contents), regardless_of_order(applied(&b).contents()));
        let (again, _) = kernel.apply(&b);
        prop_assert!(again.is_empty(), "{:?}", again);
    }

    #[test]
    fn what_is_listed_is_what_is_done(a in rules(), b in rules()) {
        let kernel = applied(&a);
        let plan = plan(&DesiredState::of(&b), &kernel.present(IpFamily::V4));
        let mut fetch = |t: XtTable, c: &str| Ok::<_, Infallible>(kernel.fetch(t, c));
        let changes = changes(&plan, &b, &mut fetch).unwrap();
        let lines: Vec<_> = changes.chains.iter().flat_map(|c| &c.lines).collect();
        let counts = plan.counts();
        prop_assert_eq!(lines.iter().filter(|l| l.added).count(), counts.rules_added);
        prop_assert_eq!(lines.iter().filter(|l| !l.added).count(), counts.rules_deleted);
        let of = |kind| changes.chains.iter().filter(|c| c.kind == kind).count();
        prop_assert_eq!(of(ChangeKind::Added), counts.chains_added);
        prop_assert_eq!(of(ChangeKind::Changed), counts.chains_changed);
        prop_assert_eq!(of(ChangeKind::Deleted), counts.chains_deleted);
        let deviations = verify(&plan, &b, &mut fetch).unwrap();
        prop_assert_eq!(deviations.is_empty(), plan.is_empty());
        prop_assert_eq!(changes.to_string().is_empty(), plan.is_empty());
    }

    #[test]
    fn clean_up_leaves_what_is_not_ours(a in rules()) {
        let mut kernel = applied(&a);
        kernel.meddle("filter", "INPUT", 1, foreign());
        kernel.meddle("filter", "KUBE-KUBELET-CANARY", 0, foreign());
        kernel.meddle("nat", "KUBE-PROXY-CANARY", 0, foreign());
        let plan = cleanup(&kernel.present(IpFamily::V4));
        kernel.run(&plan, &NoRuleset(IpFamily::V4));
        let left = kernel.contents();
        let rules: Vec<_> = left.values().flatten().cloned().collect();
        prop_assert_eq!(rules, vec![foreign(), foreign()]);
        let chains = left.keys().filter(|k| k.1.starts_with("KUBE-"));
        let chains: Vec<_> = chains.cloned().collect();
        prop_assert_eq!(chains, vec![("filter".to_owned(), "KUBE-KUBELET-CANARY".to_owned())]);
        prop_assert!(cleanup(&kernel.present(IpFamily::V4)).is_empty());
    }
}

fn many(services: u16) -> Rules {
    Rules((0..services).map(|s| (s, vec![1])).collect())
}

#[test]
fn one_more_service_among_ten_thousand_is_one_rule_in_the_long_chain() {
    let mut kernel = applied(&many(10_000));
    let mut more = many(10_000);
    more.0.insert(5_000, (20_000, vec![1, 2]));
    let (plan, last) = kernel.apply(&more);
    let handle = kernel.fetch(XtTable::Nat, "KUBE-SERVICES")[5_001].0;
    assert_eq!(last.len(), 1, "{last:?}");
    assert!(
        matches!(&last[0], Op::AddRule { chain, place: Place::Before(before), rule }
        if &*chain.name == "KUBE-SERVICES" && *before == handle
        && *rule == encode(&dispatch(20_000, true), IpFamily::V4))
    );
    assert_eq!(plan.counts().to_string(), "chains +3 ~1 -0, rules +7 -0");

    let (plan, last) = kernel.apply(&many(10_000));
    assert_eq!(plan.counts().to_string(), "chains +0 ~1 -3, rules +0 -7");
    assert_eq!(
        last.len(),
        7,
        "one rule, three chains flushed, three deleted: {last:?}"
    );
}

#[test]
fn a_service_chain_is_refilled_when_that_is_shorter() {
    let mut kernel = applied(&Rules(vec![(1, vec![1, 2, 3, 4, 5])]));
    let (_, last) = kernel.apply(&Rules(vec![(1, vec![1, 2, 3, 4, 6])]));
    let in_chain = |op: &&Op| op.object().contains("KUBE-SVC-");
    assert_eq!(
        last.iter().filter(in_chain).count(),
        2,
        "the last rule is replaced: {last:?}"
    );
    let (_, last) = kernel.apply(&Rules(vec![(1, vec![1, 2, 3, 4, 6, 7])]));
    assert!(
        matches!(&last[0], Op::FlushChain(_)),
        "every probability changes: {last:?}"
    );
    assert_eq!(last.len(), 7);
}

#[test]
fn an_order_without_meaning_is_left_as_it_is() {
    let mut backwards = many(100);
    backwards.0.reverse();
    let mut kernel = applied(&backwards);
    let (plan, _) = kernel.apply(&many(100));
    assert!(plan.is_empty(), "{plan:?}");
    let mut more = many(100);
    more.0.insert(50, (200, vec![1]));
    let (_, last) = kernel.apply(&more);
    assert_eq!(last.len(), 1, "{last:?}");
    let behind = kernel.fetch(XtTable::Nat, "KUBE-SERVICES");
    let behind = behind
        .iter()
        .position(|(_, r)| *r == encode(&dispatch(200, true), IpFamily::V4));
    assert_eq!(
        behind,
        Some(100 - 49),
        "right behind the service it is desired behind"
    );
    assert!(kernel.apply(&more).0.is_empty());
}

#[test]
fn a_jump_anywhere_in_the_built_in_chain_is_enough() {
    let mut kernel = applied(&many(2));
    kernel.meddle("nat", "PREROUTING", 0, foreign());
    let (plan, _) = kernel.apply(&many(2));
    assert!(plan.is_empty());
}

#[test]
fn missing_jumps_go_to_the_head_the_last_one_first() {
    let mut kernel = Kernel::default();
    kernel.meddle("filter", "INPUT", 0, foreign());
    kernel.apply(&many(1));
    let input = kernel.fetch(XtTable::Filter, "INPUT");
    let targets: Vec<_> = input
        .iter()
        .map(|(_, r)| r.exprs.last().unwrap().clone())
        .collect();
    let jump = |to: &str| Expr::Verdict(Verdict::Jump(to.into()));
    assert_eq!(
        targets[..2],
        [jump("KUBE-SERVICES"), jump("KUBE-NODEPORTS")]
    );
    assert_eq!(input[2].1, foreign());
}

#[test]
fn base_chains_are_made_as_iptables_makes_them() {
    let kernel = applied(&many(1));
    let hook = |table: &str, chain: &str| {
        let key = (table.to_owned(), chain.to_owned());
        let hook = kernel.chains[&key].hook.clone().unwrap();
        (hook.chain_type, hook.hook, hook.priority)
    };
    assert_eq!(hook("nat", "PREROUTING"), ("nat", 0, -100));
    assert_eq!(hook("nat", "OUTPUT"), ("nat", 3, -100));
    assert_eq!(hook("filter", "INPUT"), ("filter", 1, 0));
}

#[test]
fn a_stale_chain_that_others_use_is_emptied_but_stays() {
    let mut kernel = applied(&Rules(vec![(1, vec![1]), (2, vec![1])]));
    kernel.meddle("nat", "MY-CHAIN", 0, jump_to(&service_chain(1)));
    kernel
        .elements
        .insert(("nat".to_owned(), endpoint_chain(2, 1)), 1);
    let (plan, _) = kernel.apply(&Rules::default());
    let held: Vec<_> = plan
        .held_chains()
        .map(|(_, name)| name.to_owned())
        .collect();
    assert_eq!(held, [endpoint_chain(2, 1), service_chain(1)]);
    assert_eq!(kernel.fetch(XtTable::Nat, &service_chain(1)), []);
    let (again, _) = kernel.apply(&Rules::default());
    assert!(again.is_empty());
}

#[test]
fn chains_of_kubelet_and_others_are_left_alone() {
    let mut kernel = Kernel::default();
    let others = [
        "KUBE-KUBELET-CANARY",
        "KUBE-IPTABLES-HINT",
        "KUBE-NODE-PORT",
        "KUBE-PROXY-CANARY",
    ];
    for chain in others {
        kernel.meddle("nat", chain, 0, foreign());
    }
    kernel.apply(&many(3));
    for chain in others {
        assert_eq!(kernel.fetch(XtTable::Nat, chain).len(), 1, "{chain}");
    }
}

#[test]
fn the_shared_firewall_chain_goes_only_without_kubelet() {
    let target = Some(XtTarget::Jump("KUBE-FIREWALL".into()));
    let jump = encode(
        &XtRule {
            target,
            ..XtRule::default()
        },
        IpFamily::V4,
    );
    let start = || {
        let mut kernel = applied(&many(1));
        kernel.meddle("filter", "KUBE-FIREWALL", 0, foreign());
        kernel
            .chains
            .get_mut(&("filter".to_owned(), "KUBE-FIREWALL".to_owned()))
            .unwrap()
            .rules
            .clear();
        kernel.meddle("filter", "INPUT", 0, jump.clone());
        kernel
    };
    let gone = |mut kernel: Kernel| {
        let plan = cleanup(&kernel.present(IpFamily::V4));
        kernel.run(&plan, &NoRuleset(IpFamily::V4));
        !kernel
            .contents()
            .contains_key(&("filter".to_owned(), "KUBE-FIREWALL".to_owned()))
    };
    assert!(gone(start()));
    let mut with_kubelet = start();
    with_kubelet.meddle("mangle", "KUBE-KUBELET-CANARY", 0, foreign());
    assert!(!gone(with_kubelet));
    let mut with_other_rule = start();
    with_other_rule.meddle("filter", "KUBE-FIREWALL", 0, foreign());
    assert!(!gone(with_other_rule));
    let mut used_elsewhere = start();
    used_elsewhere.meddle("filter", "FORWARD", 0, jump.clone());
    assert!(!gone(used_elsewhere));
}

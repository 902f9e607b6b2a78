//! What holds for every cluster: no jump leads nowhere, nothing is written for nothing, and the
//! rules of one service port are the same whether rendered alone or with all others.

use std::collections::{BTreeMap, BTreeSet};

use portolan::model::{IpFamily, Snapshot};
use portolan::plan::xtables::rule::{XtChain, XtMatch, XtRuleset, XtTarget};
use portolan::translate::iptables::{
    DispatchChain, IptablesOptions, IptablesRuleset, LocalDetector,
};
use proptest::prelude::*;

use super::cluster::{Described, describe, options, snapshot};

const BUILT_IN_TARGETS_FIRST: &str = "KUBE-MARK-MASQ";

/// A service of any kind; its number makes names and addresses unique.
fn any_service(number: u8) -> impl Strategy<Value = Described> {
    let conditions = prop::sample::select(vec![
        "",
        "local",
        "unready",
        "stopping",
        "local stopping",
        "gone",
    ]);
    (
        prop::collection::vec(conditions, 0..5),
        any::<[bool; 7]>(),
        1_u16..3,
    )
        .prop_map(move |(conditions, on, ports)| {
            let [node_port, vip, ranges, external, etp, itp, sticky] = on;
            let mut described = describe(&format!("ns/svc{number}"), &format!("172.30.0.{number}"));
            for index in 0..ports {
                described = described.tcp(&format!("p{index}"), 80 + index);
                if node_port {
                    described = described.node_port(30000 + u16::from(number) * 4 + index);
                }
            }
            if vip {
                described = described
                    .vips(&[&format!("5.6.7.{number}")])
                    .health_check(32000);
            }
            if ranges {
                described = described.source_ranges(&["192.168.0.0/24", "203.0.113.0/25"]);
            }
            if external {
                described = described.external_ips(&[&format!("192.168.99.{number}")]);
            }
            if etp {
                described = described.external_local();
            }
            if itp {
                described = described.internal_local();
            }
            if sticky {
                described = described.affinity(60);
            }
            let endpoints: Vec<String> = conditions
                .iter()
                .enumerate()
                .map(|(i, condition)| format!("10.180.{number}.{i} {condition}"))
                .collect();
            let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
            described.endpoints(&endpoints)
        })
}

fn any_cluster() -> impl Strategy<Value = Snapshot> {
    (any_service(1), any_service(2), any_service(3)).prop_map(|(a, b, c)| snapshot([a, b, c]))
}

fn any_options() -> impl Strategy<Value = IptablesOptions> {
    (any::<[bool; 3]>()).prop_map(|[detector, all, localhost]| {
        let mut options = options(IpFamily::V4);
        if !detector {
            options.local_detector = LocalDetector::None;
        }
        options.masquerade_all = all;
        options.localhost_node_ports = localhost;
        options
    })
}

fn chains(ruleset: &IptablesRuleset) -> Vec<XtChain> {
    let mut chains = Vec::new();
    ruleset.for_each_chain(&mut |chain| chains.push(chain));
    chains
}

fn jumps_of(chain: &XtChain) -> impl Iterator<Item = &str> {
    chain.rules.iter().filter_map(|rule| match &rule.target {
        Some(XtTarget::Jump(to)) => Some(&**to),
        _ => None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn chains_come_once_and_before_those_that_jump_to_them(
        snapshot in any_cluster(), options in any_options()
    ) {
        let mut seen = BTreeSet::new();
        for chain in chains(&IptablesRuleset::new(&snapshot, &options)) {
            for to in jumps_of(&chain) {
                prop_assert!(seen.contains(&(chain.table, to.to_owned())), "{} → {to}", chain.name);
            }
            prop_assert!(seen.insert((chain.table, chain.name.to_string())), "{} twice", chain.name);
        }
    }

    #[test]
    fn every_chain_of_a_service_has_rules_and_is_jumped_to(
        snapshot in any_cluster(), options in any_options()
    ) {
        let chains = chains(&IptablesRuleset::new(&snapshot, &options));
        let targets: BTreeSet<&str> = chains.iter().flat_map(jumps_of).collect();
        for chain in &chains {
            let name = &*chain.name;
            let of_service = portolan::translate::iptables::names::SERVICE_PREFIXES
                .iter()
                .any(|prefix| name.starts_with(prefix));
            if of_service {
                prop_assert!(!chain.rules.is_empty(), "{name} is empty");
                prop_assert!(targets.contains(name), "{name} is not used");
            }
        }
        prop_assert!(chains.iter().any(|chain| &*chain.name == BUILT_IN_TARGETS_FIRST));
    }

    #[test]
    fn names_and_comments_fit_the_kernels_limits(
        snapshot in any_cluster(), options in any_options()
    ) {
        for chain in chains(&IptablesRuleset::new(&snapshot, &options)) {
            prop_assert!(chain.name.len() <= 28);
            for rule in &chain.rules {
                for condition in &rule.matches {
                    if let XtMatch::Comment(text) = condition {
                        prop_assert!(text.len() <= 255);
                    }
                }
            }
        }
    }

    #[test]
    fn a_service_port_rendered_alone_is_what_it_is_among_all(
        snapshot in any_cluster(), options in any_options()
    ) {
        let ruleset = IptablesRuleset::new(&snapshot, &options);
        let whole: BTreeMap<_, _> = chains(&ruleset)
            .into_iter()
            .map(|chain| ((chain.table, chain.name), chain.rules))
            .collect();
        let mut names = Vec::new();
        ruleset.for_each_service_port(|name, _| names.push(name.clone()));
        let mut shared: BTreeMap<DispatchChain, Vec<_>> = BTreeMap::new();
        let mut own = 0;
        for name in &names {
            let alone = ruleset.service_port_rules(name).unwrap();
            for chain in alone.chains {
                prop_assert_eq!(&whole[&(chain.table, chain.name)], &chain.rules);
                own += 1;
            }
            for dispatch in alone.dispatch {
                shared.entry(dispatch.chain).or_default().push(dispatch.rule);
            }
        }
        for chain in DispatchChain::ALL {
            let mut rules = shared.remove(&chain).unwrap_or_default();
            rules.extend(ruleset.dispatch_tail(chain));
            prop_assert_eq!(&whole[&(chain.table(), chain.name().into())], &rules);
        }
        let base = ruleset.base_chains().len();
        prop_assert_eq!(whole.len(), own + base + DispatchChain::ALL.len());
    }
}

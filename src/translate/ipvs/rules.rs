//! The chains and rules of table `portolan-ipvs`, the same whatever the Services.
//!
//! IPVS takes a packet at the end of `input` (or in `output`, for the node's own), after the
//! filters here, and sends it to a real server through `output` and `postrouting`
//! (`net/netfilter/ipvs/ip_vs_core.c`): a mark set before is there when the source address is
//! chosen.

use super::options::IpvsOptions;
use crate::plan::nftables::{ChainDef, RuleDef, SOURCE_RANGES};
use crate::plan::op::Hook;
use crate::translate::nftables::fixed::{limit, source_ranges};
use crate::translate::nftables::rule::{FE, Field, Rule};

/// All chains, each after those its rules lead to. `lengths` (longest first) are those of source
/// ranges in use.
pub(super) fn chains(options: &IpvsOptions, lengths: &[u8]) -> Vec<ChainDef> {
    let mut chains = vec![chain(
        SOURCE_RANGES,
        source_ranges(options.family(), lengths),
    )];
    chains.extend(check_chains(options));
    chains.extend(base_chains(options));
    chains
}

fn chain(name: &str, rules: Vec<RuleDef>) -> ChainDef {
    let (name, hook) = (name.into(), None);
    ChainDef { name, hook, rules }
}

fn check_chains(options: &IpvsOptions) -> Vec<ChainDef> {
    let rule = || Rule::new(options.family());
    let mark = options.rules.masquerade_mark();
    let detector = &options.rules.local_detector;
    let mut cluster = Vec::new();
    if options.rules.masquerade_all {
        cluster.push(rule().mark(mark).done());
    } else if let Some(outside) = limit(rule(), detector, false) {
        let comment = "masquerade traffic from outside the pod network";
        cluster.push(outside.mark(mark).comment(comment).done());
    }
    let mut outside = Vec::new();
    if let Some(pods) = limit(rule(), detector, true) {
        outside.push(pods.comment("pods may use any endpoint").ret());
    }
    let node = rule().fib_local(1, "fib saddr type local");
    outside.push(node.comment("so may this node").ret());
    outside.push(rule().drop());
    vec![
        chain("cluster-service", cluster),
        chain("from-outside", outside),
        chain(
            "new-service",
            vec![
                rule().in_set(&FE, "firewalled").jump(SOURCE_RANGES),
                rule().in_set(&FE, "no-local-endpoints").drop(),
                rule()
                    .in_set(&FE, "no-local-endpoints-outside")
                    .jump("from-outside"),
            ],
        ),
        chain(
            "service-address",
            vec![
                rule().in_set(&FE, "virtual-servers").ret(),
                rule().comment("no such port").reject().done(),
            ],
        ),
    ]
}

fn base_chains(options: &IpvsOptions) -> Vec<ChainDef> {
    let mark = options.rules.masquerade_mark();
    let rule = || Rule::new(options.family());
    let new = || rule().ct_new().jump("new-service");
    let no_service = || {
        let missing = rule().ct_new().in_set(&[Field::Daddr], "service-cidrs");
        missing.comment("no such service").drop()
    };
    let unused = rule().ct_new().in_set(&[Field::Daddr], "addresses");
    let own = rule().in_set(&FE, "virtual-servers").mark(mark);
    let own = own.comment("the source may be the service's own address");
    let unmark = format!("meta mark set meta mark ^ {mark:#010x}");
    let hairpin = [&[Field::Saddr], &FE[..]].concat();
    let masquerade = vec![
        rule()
            .marked(mark)
            .set_mark(u32::MAX, mark, unmark)
            .masquerade()
            .done(),
        rule().in_set(&hairpin, "hairpin").masquerade().done(),
    ];
    let prerouting = vec![
        rule()
            .in_set(&FE, "cluster-services")
            .goto("cluster-service"),
        rule().in_set(&FE, "external-services").mark(mark).done(),
    ];
    let base = |name: &str, chain_type, hook, priority, rules| ChainDef {
        name: name.into(),
        hook: Some(Hook {
            chain_type,
            hook,
            priority,
        }),
        rules,
    };
    vec![
        base(
            "filter-input",
            "filter",
            1,
            0,
            vec![new(), unused.goto("service-address")],
        ),
        base("filter-forward", "filter", 2, 0, vec![no_service()]),
        base("filter-output", "filter", 3, -110, vec![new()]),
        base("nat-prerouting", "nat", 0, -100, prerouting),
        base("nat-output", "nat", 3, -100, vec![own.done()]),
        base("nat-postrouting", "nat", 4, 100, masquerade),
    ]
}

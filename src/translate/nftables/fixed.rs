//! The chains and rules that are there whatever the Services.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use super::options::NftablesOptions;
use super::rule::{FE, Field, NP, Rule};
use super::sets::SetId;
use super::{pick, remember};
use crate::model::{IpFamily, NodePortAddresses};
use crate::plan::expr::{Expr, PayloadBase, REG_1};
use crate::plan::nftables::{ChainDef, REMEMBER_CLIENTS, RuleDef, SOURCE_RANGES};
use crate::plan::op::Hook;
use crate::translate::iptables::LocalDetector;

const META_IIFNAME: u32 = 6;

/// All chains, each after those its rules lead to. `lengths` (longest first) and `timeouts` are
/// the values in use.
pub(super) fn chains(options: &NftablesOptions, lengths: &[u8], timeouts: &[u32]) -> Vec<ChainDef> {
    let family = options.family;
    let mut chains = pick::chains(family);
    chains.extend(service_chains(options));
    chains.push(chain(REMEMBER_CLIENTS, remember_clients(options, timeouts)));
    chains.push(chain(SOURCE_RANGES, source_ranges(family, lengths)));
    chains.extend(check_chains(options));
    chains.extend(base_chains(options));
    chains
}

/// The rules of [`REMEMBER_CLIENTS`] for the timeouts in use.
pub(super) fn remember_clients(options: &NftablesOptions, timeouts: &[u32]) -> Vec<RuleDef> {
    remember::rules(options.family, timeouts, &options.node_port_addresses)
}

fn chain(name: &str, rules: Vec<RuleDef>) -> ChainDef {
    let (name, hook) = (name.into(), None);
    ChainDef { name, hook, rules }
}

fn service_chains(options: &NftablesOptions) -> Vec<ChainDef> {
    let family = options.family;
    let mark = options.masquerade_mark();
    let rule = || Rule::new(family);
    let mut cluster = Vec::new();
    if options.masquerade_all {
        cluster.push(rule().mark(mark).done());
    } else if let Some(outside) = limit(rule(), &options.local_detector, false) {
        let comment = "masquerade traffic from outside the pod network";
        cluster.push(outside.mark(mark).comment(comment).done());
    }
    cluster.push(rule().goto("pick"));
    let external = |key: [Field; 3], local: &str, pick: &str| {
        vec![
            rule().in_set(&key, "local-policy").goto(local),
            rule().mark(mark).comment("policy Cluster").done(),
            rule().goto(pick),
        ]
    };
    let external_local = |pick: &str, pick_local: &str| {
        let local = || rule().fib_local(1, "fib saddr type local");
        let mut rules = Vec::new();
        if let Some(pods) = limit(rule(), &options.local_detector, true) {
            rules.push(pods.comment("pods may use any endpoint").goto(pick));
        }
        rules.push(local().mark(mark).done());
        rules.push(local().comment("so may this node").goto(pick));
        rules.push(rule().goto(pick_local));
        rules
    };
    let zero = super::key::zero(family);
    let node_port = rule().in_set(&NP, "external-services");
    let node_port = match &options.node_port_addresses {
        NodePortAddresses::All => node_port.fib_local(2, "fib daddr type local"),
        NodePortAddresses::Only(_) => node_port,
    };
    let services = vec![
        rule()
            .in_set(&FE, "cluster-services")
            .goto("cluster-service"),
        rule()
            .in_set(&FE, "external-services")
            .address_is_not(Field::Daddr, zero)
            .goto("external-service"),
        accepts_node_ports(node_port, options).goto("node-port"),
    ];
    vec![
        chain("cluster-service", cluster),
        chain("external-local", external_local("pick", "pick-local")),
        chain("external-service", external(FE, "external-local", "pick")),
        chain(
            "node-port-local",
            external_local("node-port-pick", "node-port-pick-local"),
        ),
        chain(
            "node-port",
            external(NP, "node-port-local", "node-port-pick"),
        ),
        chain("services", services),
    ]
}

/// The destination is an address that accepts node ports (known to be local, or about to be).
fn accepts_node_ports(rule: Rule, options: &NftablesOptions) -> Rule {
    match (&options.node_port_addresses, options.family) {
        (NodePortAddresses::Only(_), _) => rule.in_set(&[Field::Daddr], "node-port-addresses"),
        (NodePortAddresses::All, IpFamily::V4) => {
            payload(rule, 16, 1, "ip daddr != 127.0.0.0/8").compare(false, [127])
        }
        (NodePortAddresses::All, IpFamily::V6) => {
            rule.address_is_not(Field::Daddr, Ipv6Addr::LOCALHOST.into())
        }
    }
}

fn payload(rule: Rule, offset: u32, len: u32, text: &str) -> Rule {
    let base = PayloadBase::Network;
    let dreg = REG_1;
    let expr = Expr::Payload {
        base,
        offset,
        len,
        dreg,
    };
    rule.push(expr, text)
}

/// Limits a rule to traffic of pods on this node, or to other traffic; `None` if there is no way
/// to tell, or nothing that is other traffic.
pub(in crate::translate) fn limit(
    rule: Rule,
    detector: &LocalDetector,
    local: bool,
) -> Option<Rule> {
    let not = if local { "" } else { "!= " };
    let interface = |rule: Rule, data: Vec<u8>, text: String| {
        let (key, dreg) = (META_IIFNAME, REG_1);
        rule.push(Expr::Meta { key, dreg }, text)
            .compare(local, data)
    };
    match detector {
        LocalDetector::None => None,
        LocalDetector::Cidr(cidr) if cidr.prefix_len() == 0 => local.then_some(rule),
        LocalDetector::Cidr(cidr) => Some(source_in(rule, cidr, local)),
        LocalDetector::BridgeInterface(name) => {
            let mut data = name.as_bytes().to_vec();
            data.resize(16, 0);
            Some(interface(rule, data, format!("iifname {not}\"{name}\"")))
        }
        LocalDetector::InterfacePrefix(prefix) => {
            let text = format!("iifname {not}\"{prefix}*\"");
            Some(interface(rule, prefix.as_bytes().to_vec(), text))
        }
    }
}

/// `ip saddr CIDR` as nft writes it: only the bytes that count, masked where a byte is shared.
fn source_in(mut rule: Rule, cidr: &IpNet, inside: bool) -> Rule {
    let cidr = cidr.trunc();
    let not = if inside { "" } else { "!= " };
    let text = format!("{} saddr {not}{cidr}", rule.family().nft_name());
    let (bytes, offset) = match cidr.addr() {
        IpAddr::V4(v4) => (v4.octets().to_vec(), 12),
        IpAddr::V6(v6) => (v6.octets().to_vec(), 8),
    };
    let length = cidr.prefix_len();
    if length.is_multiple_of(8) {
        let used = bytes.get(..usize::from(length / 8)).unwrap_or_default();
        return payload(rule, offset, u32::from(length / 8), &text).compare(inside, used);
    }
    rule.load(&[Field::SaddrNet(length)], 0);
    rule.text(text).compare(inside, bytes)
}

/// The rules of [`SOURCE_RANGES`] for the lengths in use, longest first.
pub(in crate::translate) fn source_ranges(family: IpFamily, lengths: &[u8]) -> Vec<RuleDef> {
    let by_length = lengths.iter().map(|length| {
        let key = [&[Field::SaddrNet(*length)], &FE[..]].concat();
        let set = SetId::Sources(*length).name();
        Rule::new(family).in_set(&key, &set).ret()
    });
    let others = Rule::new(family).comment("not from an allowed source");
    by_length.chain([others.drop()]).collect()
}

fn check_chains(options: &NftablesOptions) -> Vec<ChainDef> {
    let rule = || Rule::new(options.family);
    let none = |rule: Rule| rule.comment("no endpoints").reject().done();
    let no_local = |rule: Rule| rule.comment("no local endpoints").drop();
    let node_port = |set: &str| accepts_node_ports(rule().in_set(&NP, set), options);
    let of_address = |set: &str| rule().in_set(&[Field::Daddr], set);
    let remember = || rule().ct_dnat().jump(REMEMBER_CLIENTS);
    let no_endpoints = || rule().jump("no-endpoints-check");
    let passing = || vec![remember(), no_endpoints(), rule().jump("cluster-ips-check")];
    vec![
        chain(
            "no-endpoints-check",
            vec![
                none(rule().in_set(&FE, "no-endpoints")),
                no_local(rule().in_set(&FE, "no-local-endpoints")),
            ],
        ),
        chain(
            "node-port-check",
            vec![
                none(node_port("no-endpoints")),
                no_local(node_port("no-local-endpoints")),
            ],
        ),
        chain(
            "cluster-ips-check",
            vec![
                of_address("cluster-ips")
                    .comment("no such port")
                    .reject()
                    .done(),
                of_address("service-cidrs")
                    .comment("no such service")
                    .drop(),
            ],
        ),
        chain(
            "new-input",
            vec![remember(), rule().jump("node-port-check"), no_endpoints()],
        ),
        chain("new-forward", passing()),
        chain("new-output", passing()),
    ]
}

fn base_chains(options: &NftablesOptions) -> Vec<ChainDef> {
    let mark = options.masquerade_mark();
    let rule = || Rule::new(options.family);
    let firewall = || {
        vec![
            rule()
                .ct_new()
                .in_set(&FE, "firewalled")
                .goto(SOURCE_RANGES),
        ]
    };
    let filter = |to: &str| vec![rule().ct_new().jump(to)];
    let hairpin = [&[Field::Saddr], &FE[..]].concat();
    let unmark = format!("meta mark set meta mark ^ {mark:#010x}");
    let postrouting = vec![
        rule()
            .marked(mark)
            .set_mark(u32::MAX, mark, unmark)
            .masquerade()
            .done(),
        rule()
            .ct_dnat()
            .in_set(&hairpin, "hairpin")
            .masquerade()
            .done(),
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
        base("filter-prerouting-pre-dnat", "filter", 0, -110, firewall()),
        base("filter-output-pre-dnat", "filter", 3, -110, firewall()),
        base("filter-input", "filter", 1, 0, filter("new-input")),
        base("filter-forward", "filter", 2, 0, filter("new-forward")),
        base("filter-output", "filter", 3, 0, filter("new-output")),
        base(
            "nat-prerouting",
            "nat",
            0,
            -100,
            vec![rule().jump("services")],
        ),
        base("nat-output", "nat", 3, -100, vec![rule().jump("services")]),
        base("nat-postrouting", "nat", 4, 100, postrouting),
    ]
}

//! What is there without any service: jumps from the built-in chains, masquerading, forwarding,
//! and the protection of localhost.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::names;
use super::options::{IptablesOptions, NfacctObjects};
use super::rules::{RuleWords, rule};
use crate::model::{IpFamily, NodePortAddresses};
use crate::plan::xtables::rule::{
    CtStates, Maybe, XtChain, XtJump, XtMatch, XtRule, XtTable, XtTarget,
};

const EXTERNAL_PORTALS: Option<&str> = Some("kubernetes externally-visible service portals");
const PORTALS: Option<&str> = Some("kubernetes service portals");
const LB_FIREWALL: Option<&str> = Some("kubernetes load balancer firewall");

/// Table, built-in chain, only new connections, comment, target: in the order kube-proxy ensures
/// them. The last two are kubelet's as well and carry no comment.
type Jump = (
    XtTable,
    &'static str,
    bool,
    Option<&'static str>,
    &'static str,
);

#[rustfmt::skip]
const JUMPS: [Jump; 14] = [
    (XtTable::Filter, "INPUT", true, EXTERNAL_PORTALS, names::EXTERNAL_SERVICES),
    (XtTable::Filter, "FORWARD", true, EXTERNAL_PORTALS, names::EXTERNAL_SERVICES),
    (XtTable::Filter, "INPUT", false, Some("kubernetes health check service ports"), names::NODE_PORTS),
    (XtTable::Filter, "FORWARD", true, PORTALS, names::SERVICES),
    (XtTable::Filter, "OUTPUT", true, PORTALS, names::SERVICES),
    (XtTable::Filter, "FORWARD", false, Some("kubernetes forwarding rules"), names::FORWARD),
    (XtTable::Filter, "INPUT", true, LB_FIREWALL, names::PROXY_FIREWALL),
    (XtTable::Filter, "OUTPUT", true, LB_FIREWALL, names::PROXY_FIREWALL),
    (XtTable::Filter, "FORWARD", true, LB_FIREWALL, names::PROXY_FIREWALL),
    (XtTable::Nat, "OUTPUT", false, PORTALS, names::SERVICES),
    (XtTable::Nat, "PREROUTING", false, PORTALS, names::SERVICES),
    (XtTable::Nat, "POSTROUTING", false, Some("kubernetes postrouting rules"), names::POSTROUTING),
    (XtTable::Filter, "INPUT", false, None, names::FIREWALL),
    (XtTable::Filter, "OUTPUT", false, None, names::FIREWALL),
];

/// The jumps from built-in chains, the same in both families.
pub(super) fn jumps() -> Vec<XtJump> {
    JUMPS
        .into_iter()
        .map(|(table, chain, only_new, comment, target)| {
            let mut jump = rule();
            if only_new {
                jump = jump.state(CtStates::NEW);
            }
            if let Some(comment) = comment {
                jump = jump.comment(comment);
            }
            XtJump {
                table,
                chain,
                rule: jump.jump(target),
            }
        })
        .collect()
}

/// `KUBE-MARK-MASQ`: asks for masquerading.
pub(super) fn mark_masq(options: &IptablesOptions) -> XtChain {
    let mark = options.masquerade_mark();
    chain(
        XtTable::Nat,
        names::MARK_MASQ,
        vec![rule().target(XtTarget::Mark {
            value: mark,
            mask: mark,
        })],
    )
}

/// `KUBE-POSTROUTING`: masquerades what was marked, and clears the mark first so that a packet
/// that passes again (as with tunnels) is not masqueraded twice.
pub(super) fn postrouting(options: &IptablesOptions) -> XtChain {
    let mark = options.masquerade_mark();
    let unmarked = XtMatch::Mark {
        value: mark,
        mask: mark,
        not: true,
    };
    let toggle = XtTarget::Mark {
        value: mark,
        mask: 0,
    };
    let masquerade = XtTarget::Masquerade {
        random_fully: options.random_fully,
    };
    chain(
        XtTable::Nat,
        names::POSTROUTING,
        vec![
            rule().and(unmarked).target(XtTarget::Return),
            rule().target(toggle),
            rule()
                .comment("kubernetes service traffic requiring SNAT")
                .target(masquerade),
        ],
    )
}

/// `KUBE-FORWARD`: lets traffic of services pass a firewall that forwards nothing by itself.
///
/// Packets in state INVALID are dropped: untranslated, they would reach the client from the
/// endpoint's address and make it reset the connection.
pub(super) fn forward(options: &IptablesOptions) -> XtChain {
    let mark = options.masquerade_mark();
    let mut rules = Vec::new();
    if !options.tcp_be_liberal {
        let mut invalid = rule().state(CtStates::INVALID);
        if options.nfacct.ct_state_invalid {
            invalid = invalid.and(XtMatch::Nfacct(NfacctObjects::CT_STATE_INVALID.into()));
        }
        rules.push(invalid.target(XtTarget::Drop));
    }
    let marked = XtMatch::Mark {
        value: mark,
        mask: mark,
        not: false,
    };
    rules.push(
        rule()
            .comment("kubernetes forwarding rules")
            .and(marked)
            .target(XtTarget::Accept),
    );
    rules.push(
        rule()
            .comment("kubernetes forwarding conntrack rule")
            .state(CtStates::RELATED.or(CtStates::ESTABLISHED))
            .target(XtTarget::Accept),
    );
    chain(XtTable::Filter, names::FORWARD, rules)
}

/// `KUBE-FIREWALL`: there in any case, because jumps lead to it; empty unless node ports answer on
/// localhost. Then `route_localnet` is on, and without this rule neighbours could reach services
/// that listen on 127.0.0.1 only.
pub(super) fn firewall(options: &IptablesOptions) -> XtChain {
    let mut rules = Vec::new();
    if options.localhost_node_ports() {
        let known = CtStates::RELATED
            .or(CtStates::ESTABLISHED)
            .or(CtStates::DNAT);
        let mut block = rule()
            .comment("block incoming localnet connections")
            .and(XtMatch::Conntrack(Maybe::is_not(known)))
            .target(XtTarget::Drop);
        block.source = Some(Maybe::is_not(ipv4_loopback()));
        block.destination = Some(Maybe::is(ipv4_loopback()));
        rules.push(block);
    }
    chain(XtTable::Filter, names::FIREWALL, rules)
}

/// The end of `KUBE-SERVICES` in `nat`: what is for this node may be for a node port. Last, so
/// that a service's own address wins over a node port.
pub(super) fn node_port_tail(options: &IptablesOptions) -> Vec<XtRule> {
    let tail = || {
        rule()
            .comment("kubernetes service nodeports; NOTE: this must be the last rule in this chain")
    };
    let addresses = match &options.node_port_addresses {
        NodePortAddresses::All => {
            let mut any_local = tail()
                .and(XtMatch::DestinationIsLocal)
                .jump(names::NODE_PORTS);
            if !options.localhost_node_ports() {
                any_local.destination = Some(Maybe::is_not(loopback(options.family)));
            }
            return vec![any_local];
        }
        NodePortAddresses::Only(addresses) => addresses,
    };
    addresses
        .iter()
        .filter(|ip| IpFamily::of(**ip) == options.family)
        .filter(|ip| options.localhost_node_ports() || !ip.is_loopback())
        .map(|ip| tail().to(*ip).jump(names::NODE_PORTS))
        .collect()
}

/// A chain that portolan owns.
pub(super) fn chain(table: XtTable, name: &'static str, rules: Vec<XtRule>) -> XtChain {
    XtChain {
        table,
        name: name.into(),
        rules,
    }
}

/// 127.0.0.0/8.
pub(super) fn ipv4_loopback() -> IpNet {
    Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8).into()
}

fn loopback(family: IpFamily) -> IpNet {
    match family {
        IpFamily::V4 => ipv4_loopback(),
        IpFamily::V6 => Ipv6Net::from(Ipv6Addr::LOCALHOST).into(),
    }
}

//! Planning the removal of what is ours, also after a kube-proxy in iptables mode.
//!
//! Goes: every chain that kube-proxy 1.36 removes with `--cleanup` and its canaries, and the jumps
//! to them from built-in chains whatever their conditions. Stays: built-in chains and tables, which
//! other programs may rely on, everything of kubelet's, and nfacct objects.
//!
//! `KUBE-FIREWALL` belongs to kubelet as much as to kube-proxy, and kube-proxy never removes it.
//! It goes only if nothing of kubelet's is there (no `KUBE-KUBELET-CANARY`), it holds exactly what
//! portolan writes or nothing, and nothing but portolan's two jumps points to it.

use super::owned::{self, FIREWALL_CHAIN, TABLES, builtin_hook};
use super::plan::{Plan, StaleRule};
use super::present::{PresentState, PresentTable};
use crate::model::IpFamily;
use crate::plan::digest::RuleDigest;
use crate::plan::xtables::rule::{
    CtStates, Maybe, XtChain, XtJump, XtMatch, XtRule, XtRuleset, XtTable, XtTarget,
};

/// kube-proxy's chains that do not belong to one service, `KUBE-FIREWALL` aside
/// (`pkg/proxy/iptables/proxier.go` and, for the last ones, `pkg/proxy/ipvs/proxier.go`, v1.36,
/// `CleanupLeftovers`).
const FILTER_CHAINS: [&str; 10] = [
    "KUBE-SERVICES",
    "KUBE-EXTERNAL-SERVICES",
    "KUBE-FORWARD",
    "KUBE-NODEPORTS",
    "KUBE-PROXY-FIREWALL",
    CANARY,
    "KUBE-NODE-PORT",
    "KUBE-SOURCE-RANGES-FIREWALL",
    "KUBE-IPVS-FILTER",
    "KUBE-IPVS-OUT-FILTER",
];
const NAT_CHAINS: [&str; 7] = [
    "KUBE-SERVICES",
    "KUBE-NODEPORTS",
    "KUBE-POSTROUTING",
    "KUBE-MARK-MASQ",
    CANARY,
    "KUBE-NODE-PORT",
    "KUBE-LOAD-BALANCER",
];
/// By which kube-proxy notices that its tables were flushed.
const CANARY: &str = "KUBE-PROXY-CANARY";
/// By which kubelet does.
const KUBELET_CANARY: &str = "KUBE-KUBELET-CANARY";

/// A ruleset without anything in it: what a clean-up's plan is streamed with.
#[derive(Clone, Copy, Debug)]
pub struct NoRuleset(pub IpFamily);

impl XtRuleset for NoRuleset {
    fn family(&self) -> IpFamily {
        self.0
    }

    fn jumps(&self) -> Vec<XtJump> {
        Vec::new()
    }

    fn for_each_chain(&self, _: &mut dyn FnMut(XtChain)) {}
}

/// Plans the removal of everything that is ours in a family. Its steps need [`NoRuleset`].
#[must_use]
pub fn cleanup(present: &PresentState) -> Plan {
    let mut plan = Plan::new(present.family());
    let firewall = firewall_is_ours(present);
    for table in TABLES {
        let there = present.table(table);
        let going = |name: &str| {
            owned::is_service_chain(table, name)
                || static_chains(table).contains(&name)
                || (firewall && table == XtTable::Filter && name == FIREWALL_CHAIN)
        };
        let builtin = |name: &str| {
            builtin_hook(table, name).is_some() && there.chain(name).is_some_and(|c| c.base)
        };
        let stale = there
            .jumps
            .iter()
            .filter(|jump| builtin(&jump.from) && going(&jump.to));
        for jump in stale {
            let (chain, handle) = ((*jump.from).into(), jump.handle);
            plan.stale_rules.push(StaleRule {
                table,
                chain,
                handle,
            });
            plan.counts.rules_deleted += 1;
            plan.counts.steps += 1;
        }
        plan.remove_chains(table, there, &going, &|from| going(from) || builtin(from));
    }
    plan.count_builtins();
    plan
}

fn static_chains(table: XtTable) -> &'static [&'static str] {
    match table {
        XtTable::Filter => &FILTER_CHAINS,
        XtTable::Nat => &NAT_CHAINS,
        XtTable::Mangle => &[CANARY],
    }
}

fn firewall_is_ours(present: &PresentState) -> bool {
    let filter = present.table(XtTable::Filter);
    let kubelet = TABLES
        .iter()
        .any(|t| present.table(*t).chain(KUBELET_CANARY).is_some());
    filter.chain(FIREWALL_CHAIN).is_some_and(|chain| {
        let rules = filter.rules(chain);
        let ours = RuleDigest::of(&martian_rule());
        let known = match rules {
            [] => true,
            [rule] => present.family() == IpFamily::V4 && rule.digest == ours,
            _ => false,
        };
        !kubelet && known && only_our_jumps(filter)
    })
}

/// Whether nothing but `-A INPUT -j KUBE-FIREWALL` and the same in `OUTPUT` points to the chain.
fn only_our_jumps(filter: &PresentTable) -> bool {
    let target = Some(XtTarget::Jump(FIREWALL_CHAIN.into()));
    let bare = RuleDigest::of(&XtRule {
        target,
        ..XtRule::default()
    });
    let mut jumps = filter
        .jumps
        .iter()
        .filter(|jump| *jump.to == *FIREWALL_CHAIN);
    jumps.all(|jump| {
        filter.chain(&jump.from).is_some_and(|from| {
            let rule = filter.rules(from).iter().find(|r| r.handle == jump.handle);
            matches!(&*jump.from, "INPUT" | "OUTPUT") && rule.is_some_and(|r| r.digest == bare)
        })
    })
}

/// The rule of `KUBE-FIREWALL` against CVE-2020-8558: what comes from outside to a loopback
/// address.
fn martian_rule() -> XtRule {
    let loopback = ipnet::Ipv4Net::new_assert(std::net::Ipv4Addr::new(127, 0, 0, 0), 8);
    let states = CtStates::RELATED
        .or(CtStates::ESTABLISHED)
        .or(CtStates::DNAT);
    XtRule {
        source: Some(Maybe::is_not(loopback.into())),
        destination: Some(Maybe::is(loopback.into())),
        matches: vec![
            XtMatch::Comment("block incoming localnet connections".into()),
            XtMatch::Conntrack(Maybe::is_not(states)),
        ],
        target: Some(XtTarget::Drop),
        ..XtRule::default()
    }
}

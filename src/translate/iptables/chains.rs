//! A service port's own chains, all in `nat`: endpoints, the choice among them, source ranges, and
//! what is special about traffic from outside.

use std::sync::Arc;

use super::decision::{Decision, NamedEndpoint};
use super::names;
use super::rules::{RuleWords, rule};
use super::selection::selection_rules;
use crate::plan::xtables::rule::{RecentOp, XtChain, XtMatch, XtRule, XtTable, XtTarget};

/// All chains of a service port, each after those it jumps to.
pub(super) fn service_chains(decision: &Decision) -> Vec<XtChain> {
    let mut chains: Vec<XtChain> = decision
        .reachable_endpoints()
        .into_iter()
        .map(|endpoint| endpoint_chain(decision, endpoint))
        .collect();
    if decision.uses_cluster_chain() {
        let internal = !decision.port.internal_local;
        let endpoints = decision.cluster_endpoints();
        chains.push(policy_chain(
            decision,
            decision.names.cluster(),
            internal,
            &endpoints,
        ));
    }
    if decision.uses_local_chain() {
        let internal = decision.port.internal_local;
        let endpoints = decision.local_endpoints();
        chains.push(policy_chain(
            decision,
            decision.names.local(),
            internal,
            &endpoints,
        ));
    }
    if decision.uses_external_chain() {
        chains.push(external_chain(decision));
    }
    if decision.uses_firewall_chain() {
        chains.push(firewall_chain(decision));
    }
    chains
}

/// `KUBE-SEP-…`: sends to one endpoint. An endpoint that reaches itself through the service must
/// see another source address, or the answer would never pass the node.
fn endpoint_chain(decision: &Decision, endpoint: NamedEndpoint) -> XtChain {
    let mut hairpin = rule();
    let mut send = rule();
    if !decision.terse {
        let comment: Arc<str> = decision.text.as_str().into();
        hairpin = hairpin.comment(comment.clone());
        send = send.comment(comment);
    }
    if decision.port.affinity_seconds.is_some() {
        send = send.and(XtMatch::Recent {
            op: RecentOp::Set,
            list: endpoint.chain.clone(),
        });
    }
    let rules = vec![
        hairpin
            .from(endpoint.socket.ip().into())
            .jump(names::MARK_MASQ),
        send.port(decision.port.name.protocol, None)
            .target(XtTarget::Dnat(endpoint.socket)),
    ];
    nat_chain(endpoint.chain, rules)
}

/// `KUBE-SVC-…` or `KUBE-SVL-…`: chooses an endpoint. The one that the cluster IP leads to first
/// marks traffic that must come back through this node.
fn policy_chain(
    decision: &Decision,
    name: Arc<str>,
    internal: bool,
    endpoints: &[NamedEndpoint],
) -> XtChain {
    let mut rules = Vec::new();
    if internal {
        rules.extend(masquerade_cluster_ip(decision));
    }
    rules.extend(selection_rules(decision, endpoints));
    nat_chain(name, rules)
}

/// Marks traffic to the cluster IP that does not come from a pod, or all of it if so configured.
fn masquerade_cluster_ip(decision: &Decision) -> Option<XtRule> {
    let port = decision.port;
    let to_cluster_ip = rule()
        .comment(format!("{} cluster IP", decision.text))
        .to(port.cluster_ip)
        .port(port.name.protocol, Some(port.port))
        .jump(names::MARK_MASQ);
    let options = decision.options;
    if options.masquerade_all {
        Some(to_cluster_ip)
    } else {
        options.local_detector.limit(false, to_cluster_ip)
    }
}

/// `KUBE-EXT-…`: traffic to node ports, external IPs and balancers' addresses.
fn external_chain(decision: &Decision) -> XtChain {
    let mut rules = if decision.port.external_local {
        short_circuit_rules(decision)
    } else {
        // An endpoint elsewhere would answer the client directly: come back through this node.
        let comment = format!(
            "masquerade traffic for {} external destinations",
            decision.text
        );
        vec![rule().comment(comment).jump(names::MARK_MASQ)]
    };
    if decision.external_unserved().is_none() {
        rules.push(rule().jump(decision.external_policy_chain()));
    }
    nat_chain(decision.names.external(), rules)
}

/// With policy `Local`, pods and the node itself still reach every endpoint of the cluster: their
/// source address need not be kept, and they have no other node to turn to.
fn short_circuit_rules(decision: &Decision) -> Vec<XtRule> {
    let text = &decision.text;
    let cluster = decision.names.cluster();
    let from_pods = rule()
        .comment(format!("pod traffic for {text} external destinations"))
        .jump(cluster.clone());
    let from_node = |what: &str| {
        rule()
            .comment(format!(
                "{what} LOCAL traffic for {text} external destinations"
            ))
            .and(XtMatch::SourceIsLocal)
    };
    decision
        .options
        .local_detector
        .limit(true, from_pods)
        .into_iter()
        .chain([
            from_node("masquerade").jump(names::MARK_MASQ),
            from_node("route").jump(cluster),
        ])
        .collect()
}

/// `KUBE-FW-…`: lets the source ranges through. What falls off the end is not translated, and so
/// meets the drop rule of `KUBE-PROXY-FIREWALL`.
fn firewall_chain(decision: &Decision) -> XtChain {
    let port = decision.port;
    let external = decision.names.external();
    let allow = |source| {
        rule()
            .comment(format!("{} loadbalancer IP", decision.text))
            .from(source)
            .jump(external.clone())
    };
    let mut rules: Vec<XtRule> = port.source_ranges.iter().copied().map(allow).collect();
    let node_ip = decision.options.node_ip();
    if port
        .source_ranges
        .iter()
        .any(|range| range.contains(&node_ip))
    {
        // A packet of this node to the balancer's address has that address as its source too,
        // where the address is bound to an interface.
        rules.extend(
            port.load_balancer_vips
                .iter()
                .map(|vip| allow((*vip).into())),
        );
    }
    rules.push(rule().comment(format!(
        "other traffic to {} will be dropped by KUBE-PROXY-FIREWALL",
        decision.text
    )));
    nat_chain(decision.names.firewall(), rules)
}

fn nat_chain(name: Arc<str>, rules: Vec<XtRule>) -> XtChain {
    XtChain {
        table: XtTable::Nat,
        name,
        rules,
    }
}

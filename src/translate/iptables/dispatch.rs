//! The rules that lead to a service port: one for each of its front ends, in chains shared by all
//! services.

use std::net::IpAddr;

use super::base::ipv4_loopback;
use super::decision::{Decision, Unserved};
use super::names;
use super::options::NfacctObjects;
use super::rules::{RuleWords, rule};
use crate::plan::xtables::rule::{Maybe, XtMatch, XtRule, XtTable, XtTarget};

/// A chain shared by all services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DispatchChain {
    /// `KUBE-NODEPORTS` in `filter`: health-check node ports.
    FilterNodePorts,
    /// `KUBE-EXTERNAL-SERVICES` in `filter`: front ends outside that serve nothing.
    FilterExternalServices,
    /// `KUBE-PROXY-FIREWALL` in `filter`: what source ranges refuse.
    FilterProxyFirewall,
    /// `KUBE-SERVICES` in `filter`: cluster IPs that serve nothing.
    FilterServices,
    /// `KUBE-NODEPORTS` in `nat`.
    NatNodePorts,
    /// `KUBE-SERVICES` in `nat`.
    NatServices,
}

impl DispatchChain {
    /// All of them, in the order they are written: those that others jump to come first.
    pub const ALL: [Self; 6] = [
        Self::FilterNodePorts,
        Self::FilterExternalServices,
        Self::FilterProxyFirewall,
        Self::FilterServices,
        Self::NatNodePorts,
        Self::NatServices,
    ];

    /// Its table.
    #[must_use]
    pub fn table(self) -> XtTable {
        match self {
            Self::FilterNodePorts
            | Self::FilterExternalServices
            | Self::FilterProxyFirewall
            | Self::FilterServices => XtTable::Filter,
            Self::NatNodePorts | Self::NatServices => XtTable::Nat,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FilterNodePorts | Self::NatNodePorts => names::NODE_PORTS,
            Self::FilterExternalServices => names::EXTERNAL_SERVICES,
            Self::FilterProxyFirewall => names::PROXY_FIREWALL,
            Self::FilterServices | Self::NatServices => names::SERVICES,
        }
    }
}

/// A rule of a shared chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DispatchRule {
    /// The chain it is in.
    pub chain: DispatchChain,
    /// The rule.
    pub rule: XtRule,
}

/// All dispatch rules of a service port, in kube-proxy's order.
pub(super) fn dispatch_rules(decision: &Decision) -> Vec<DispatchRule> {
    let mut out = Vec::new();
    cluster_ip(decision, &mut out);
    external_ips(decision, &mut out);
    load_balancer(decision, &mut out);
    node_port(decision, &mut out);
    health_check(decision, &mut out);
    out
}

fn cluster_ip(decision: &Decision, out: &mut Vec<DispatchRule>) {
    let port = decision.port;
    match decision.internal_unserved() {
        None => {
            let comment = format!("{} cluster IP", decision.text);
            let rule = front_end(decision, comment, port.cluster_ip);
            push(
                out,
                DispatchChain::NatServices,
                rule.jump(decision.internal_chain()),
            );
        }
        Some(reason) => {
            let rule = front_end(
                decision,
                unserved_comment(decision, reason),
                port.cluster_ip,
            );
            push(
                out,
                DispatchChain::FilterServices,
                rule.target(unserved_target(reason)),
            );
        }
    }
}

fn external_ips(decision: &Decision, out: &mut Vec<DispatchRule>) {
    for ip in &decision.port.external_ips {
        if decision.has_any_endpoint() {
            let comment = format!("{} external IP", decision.text);
            let rule = front_end(decision, comment, *ip).jump(decision.names.external());
            push(out, DispatchChain::NatServices, rule);
        }
        unserved_address(decision, *ip, out);
    }
}

fn load_balancer(decision: &Decision, out: &mut Vec<DispatchRule>) {
    let target = if decision.uses_firewall_chain() {
        decision.names.firewall()
    } else {
        decision.names.external()
    };
    for vip in &decision.port.load_balancer_vips {
        if decision.has_any_endpoint() {
            let comment = format!("{} loadbalancer IP", decision.text);
            let rule = front_end(decision, comment, *vip).jump(target.clone());
            push(out, DispatchChain::NatServices, rule);
        }
        if decision.uses_firewall_chain() {
            let comment = format!("{} traffic not accepted by {target}", decision.text);
            let rule = front_end(decision, comment, *vip).target(XtTarget::Drop);
            push(out, DispatchChain::FilterProxyFirewall, rule);
        }
    }
    for vip in &decision.port.load_balancer_vips {
        unserved_address(decision, *vip, out);
    }
}

fn node_port(decision: &Decision, out: &mut Vec<DispatchRule>) {
    let Some(number) = decision.port.node_port else {
        return;
    };
    let protocol = decision.port.name.protocol;
    if decision.has_any_endpoint() {
        let to_port = || {
            rule()
                .comment(decision.text.as_str())
                .port(protocol, Some(number))
        };
        let options = decision.options;
        if options.localhost_node_ports() && options.nfacct.localhost_node_ports {
            // The same as the rule below, but counted: use of localhost node ports is discouraged.
            let mut counted = to_port()
                .and(XtMatch::Nfacct(NfacctObjects::LOCALHOST_NODE_PORTS.into()))
                .jump(decision.names.external());
            counted.destination = Some(Maybe::is(ipv4_loopback()));
            push(out, DispatchChain::NatNodePorts, counted);
        }
        let rule = to_port().jump(decision.names.external());
        push(out, DispatchChain::NatNodePorts, rule);
    }
    if let Some(reason) = decision.external_unserved() {
        let rule = rule()
            .comment(unserved_comment(decision, reason))
            .and(XtMatch::DestinationIsLocal)
            .port(protocol, Some(number))
            .target(unserved_target(reason));
        push(out, DispatchChain::FilterExternalServices, rule);
    }
}

/// Lets balancers reach the health check behind a firewall. One rule per service port, as
/// kube-proxy writes it, although all ports of a Service share the number.
fn health_check(decision: &Decision, out: &mut Vec<DispatchRule>) {
    if let Some(number) = decision.port.health_check_node_port {
        let rule = rule()
            .comment(format!("{} health check node port", decision.text))
            .port(crate::model::Protocol::Tcp, Some(number))
            .target(XtTarget::Accept);
        push(out, DispatchChain::FilterNodePorts, rule);
    }
}

fn unserved_address(decision: &Decision, ip: IpAddr, out: &mut Vec<DispatchRule>) {
    if let Some(reason) = decision.external_unserved() {
        let rule = front_end(decision, unserved_comment(decision, reason), ip)
            .target(unserved_target(reason));
        push(out, DispatchChain::FilterExternalServices, rule);
    }
}

/// A rule for packets to the service's port at an address.
fn front_end(decision: &Decision, comment: String, ip: IpAddr) -> XtRule {
    let port = decision.port;
    rule()
        .comment(comment)
        .to(ip)
        .port(port.name.protocol, Some(port.port))
}

fn unserved_comment(decision: &Decision, reason: Unserved) -> String {
    let what = match reason {
        Unserved::NoEndpoints => "has no endpoints",
        Unserved::NoLocalEndpoints => "has no local endpoints",
    };
    format!("{} {what}", decision.text)
}

fn unserved_target(reason: Unserved) -> XtTarget {
    match reason {
        Unserved::NoEndpoints => XtTarget::Reject,
        Unserved::NoLocalEndpoints => XtTarget::Drop,
    }
}

fn push(out: &mut Vec<DispatchRule>, chain: DispatchChain, rule: XtRule) {
    out.push(DispatchRule { chain, rule });
}

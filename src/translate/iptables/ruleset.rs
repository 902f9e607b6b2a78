//! The whole ruleset, chain by chain, and the part of it that belongs to one service port.

use super::base;
use super::chains::service_chains;
use super::decision::Decision;
use super::dispatch::{DispatchChain, DispatchRule, dispatch_rules};
use super::options::IptablesOptions;
use crate::model::{IpFamily, ProxiedPort, ServicePortName, Snapshot, endpoints_of, proxied_ports};
use crate::plan::xtables::rule::{XtChain, XtJump, XtRule, XtRuleset};

/// kube-proxy calls a cluster large from this many endpoints on, counted over all service ports,
/// ready or not.
pub(super) const LARGE_CLUSTER_ENDPOINTS: usize = 1000;

/// What one service port contributes to the ruleset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePortRules {
    /// Its own chains, each after those it jumps to.
    pub chains: Vec<XtChain>,
    /// Its rules in chains shared with other services, in their order there.
    pub dispatch: Vec<DispatchRule>,
    /// How many endpoints it has, usable or not.
    pub endpoints: usize,
}

/// The iptables rules of one family on one node.
#[derive(Clone, Copy, Debug)]
pub struct IptablesRuleset<'a> {
    snapshot: &'a Snapshot,
    options: &'a IptablesOptions,
    large_cluster: bool,
}

impl<'a> IptablesRuleset<'a> {
    /// The rules for a snapshot.
    #[must_use]
    pub fn new(snapshot: &'a Snapshot, options: &'a IptablesOptions) -> Self {
        Self {
            snapshot,
            options,
            large_cluster: is_large_cluster(snapshot, options),
        }
    }

    /// The rules for a snapshot of which is known whether it is of a large cluster.
    pub(super) fn sized(
        snapshot: &'a Snapshot,
        options: &'a IptablesOptions,
        large_cluster: bool,
    ) -> Self {
        Self {
            snapshot,
            options,
            large_cluster,
        }
    }

    /// Whether rules that grow with the endpoints go without comments: so from 1001 endpoints on.
    ///
    /// When this changes, every chain of every service port changes.
    #[must_use]
    pub fn large_cluster(&self) -> bool {
        self.large_cluster
    }

    /// What one service port contributes; `None` if it has no rules in this family.
    ///
    /// Costs time for this Service only.
    #[must_use]
    pub fn service_port_rules(&self, name: &ServicePortName) -> Option<ServicePortRules> {
        let service = self.snapshot.services.get(&name.service)?;
        let ports = proxied_ports(service, self.options.family);
        let port = ports.iter().find(|port| port.name == *name)?;
        Some(self.rules_of(port))
    }

    /// Visits every service port with its contribution, in the snapshot's order.
    pub fn for_each_service_port(&self, mut visit: impl FnMut(&ServicePortName, ServicePortRules)) {
        for service in self.snapshot.services.values() {
            for port in proxied_ports(service, self.options.family) {
                visit(&port.name, self.rules_of(&port));
            }
        }
    }

    /// The chains that are there without any service and that hold no rules of services. First
    /// those that chains of services jump to.
    #[must_use]
    pub fn base_chains(&self) -> Vec<XtChain> {
        vec![
            base::mark_masq(self.options),
            base::postrouting(self.options),
            base::firewall(self.options),
            base::forward(self.options),
        ]
    }

    /// The rules that close a shared chain, after those of all services.
    #[must_use]
    pub fn dispatch_tail(&self, chain: DispatchChain) -> Vec<XtRule> {
        match chain {
            DispatchChain::NatServices => base::node_port_tail(self.options),
            _ => Vec::new(),
        }
    }

    pub(super) fn rules_of(&self, port: &ProxiedPort) -> ServicePortRules {
        let decision = Decision::new(port, self.snapshot, self.options, self.large_cluster);
        ServicePortRules {
            chains: service_chains(&decision),
            dispatch: dispatch_rules(&decision),
            endpoints: decision.endpoints,
        }
    }
}

impl XtRuleset for IptablesRuleset<'_> {
    fn family(&self) -> IpFamily {
        self.options.family
    }

    fn jumps(&self) -> Vec<XtJump> {
        base::jumps()
    }

    fn for_each_chain(&self, visit: &mut dyn FnMut(XtChain)) {
        for chain in self.base_chains() {
            visit(chain);
        }
        let mut shared = DispatchChain::ALL.map(|chain| (chain, Vec::new()));
        self.for_each_service_port(|_, port| {
            port.chains.into_iter().for_each(&mut *visit);
            for DispatchRule { chain, rule } in port.dispatch {
                if let Some((_, rules)) = shared.iter_mut().find(|(c, _)| *c == chain) {
                    rules.push(rule);
                }
            }
        });
        for (chain, mut rules) in shared {
            rules.extend(self.dispatch_tail(chain));
            visit(base::chain(chain.table(), chain.name(), rules));
        }
    }
}

/// Stops counting where the answer is clear.
fn is_large_cluster(snapshot: &Snapshot, options: &IptablesOptions) -> bool {
    let mut count = 0_usize;
    for service in snapshot.services.values() {
        let slices = snapshot.slices_of(&service.name);
        for port in proxied_ports(service, options.family) {
            count += endpoints_of(&port, slices, &options.node.name).len();
            if count > LARGE_CLUSTER_ENDPOINTS {
                return true;
            }
        }
    }
    false
}

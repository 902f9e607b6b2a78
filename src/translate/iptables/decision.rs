//! What happens to traffic of one service port on this node: which chains it has, and what each
//! kind of front end does (reference: the table shared by kube-proxy's iptables and nftables
//! modes).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::names::ServiceChainNames;
use super::options::IptablesOptions;
use crate::model::{EndpointChoice, ProxiedPort, Snapshot, choose_endpoints, endpoints_of};

/// Why a front end has nowhere to send to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unserved {
    /// No usable endpoint anywhere: refuse, so that clients fail fast.
    NoEndpoints,
    /// None on this node, and the policy wants local ones: drop silently, another node serves.
    NoLocalEndpoints,
}

/// An endpoint with its text and its chain's name, both needed by several rules.
#[derive(Clone, Debug)]
pub(super) struct NamedEndpoint {
    /// Address and port.
    pub(super) socket: SocketAddr,
    /// `KUBE-SEP-…`.
    pub(super) chain: Arc<str>,
}

/// One service port with everything decided about it.
#[derive(Clone, Debug)]
pub(super) struct Decision<'a> {
    pub(super) port: &'a ProxiedPort,
    pub(super) options: &'a IptablesOptions,
    /// The service port's name as comments show it.
    pub(super) text: String,
    pub(super) names: ServiceChainNames,
    /// More than a thousand endpoints in the cluster: rules that grow with them lose comments.
    pub(super) terse: bool,
    /// How many endpoints there are, usable or not.
    pub(super) endpoints: usize,
    choice: EndpointChoice,
    endpoint_chains: BTreeMap<SocketAddr, Arc<str>>,
}

impl<'a> Decision<'a> {
    pub(super) fn new(
        port: &'a ProxiedPort,
        snapshot: &Snapshot,
        options: &'a IptablesOptions,
        terse: bool,
    ) -> Self {
        let node = &options.node;
        let endpoints = endpoints_of(port, snapshot.slices_of(&port.name.service), &node.name);
        let choice = choose_endpoints(port, &endpoints, node);
        let names = ServiceChainNames::new(&port.name);
        let endpoint_chains = choice
            .reachable
            .iter()
            .map(|endpoint| (endpoint.socket, names.endpoint(endpoint.socket)))
            .collect();
        Self {
            port,
            options,
            text: port.name.to_string(),
            names,
            terse,
            endpoints: endpoints.len(),
            choice,
            endpoint_chains,
        }
    }

    /// There is a chain for endpoints of the whole cluster.
    pub(super) fn uses_cluster_chain(&self) -> bool {
        !self.choice.cluster.is_empty() && self.port.uses_cluster_endpoints()
    }

    /// There is a chain for endpoints of this node.
    pub(super) fn uses_local_chain(&self) -> bool {
        !self.choice.local.is_empty() && self.port.uses_local_endpoints()
    }

    /// There is a chain for traffic from outside, even if nothing local is left to serve it:
    /// pods and the node itself may still use it.
    pub(super) fn uses_external_chain(&self) -> bool {
        self.choice.has_any && self.port.externally_accessible()
    }

    /// There is a chain that checks source ranges.
    pub(super) fn uses_firewall_chain(&self) -> bool {
        self.choice.has_any
            && !self.port.load_balancer_vips.is_empty()
            && !self.port.source_ranges.is_empty()
    }

    /// Where traffic to the cluster IP goes.
    pub(super) fn internal_chain(&self) -> Arc<str> {
        self.policy_chain(self.port.internal_local)
    }

    /// Where traffic from outside goes in the end.
    pub(super) fn external_policy_chain(&self) -> Arc<str> {
        self.policy_chain(self.port.external_local)
    }

    /// Some endpoint can be used: front ends lead to chains.
    pub(super) fn has_any_endpoint(&self) -> bool {
        self.choice.has_any
    }

    /// What is wrong with the cluster IP, if anything.
    pub(super) fn internal_unserved(&self) -> Option<Unserved> {
        self.unserved(self.port.internal_local)
    }

    /// What is wrong with the front ends outside, if anything.
    pub(super) fn external_unserved(&self) -> Option<Unserved> {
        self.unserved(self.port.external_local)
    }

    pub(super) fn cluster_endpoints(&self) -> Vec<NamedEndpoint> {
        self.named(&self.choice.cluster)
    }

    pub(super) fn local_endpoints(&self) -> Vec<NamedEndpoint> {
        self.named(&self.choice.local)
    }

    pub(super) fn reachable_endpoints(&self) -> Vec<NamedEndpoint> {
        self.named(&self.choice.reachable)
    }

    fn policy_chain(&self, local: bool) -> Arc<str> {
        if local {
            self.names.local()
        } else {
            self.names.cluster()
        }
    }

    fn unserved(&self, local: bool) -> Option<Unserved> {
        if !self.choice.has_any {
            Some(Unserved::NoEndpoints)
        } else if local && self.choice.local.is_empty() {
            Some(Unserved::NoLocalEndpoints)
        } else {
            None
        }
    }

    fn named(&self, endpoints: &[crate::model::EndpointAddress]) -> Vec<NamedEndpoint> {
        endpoints
            .iter()
            .filter_map(|endpoint| {
                let chain = self.endpoint_chains.get(&endpoint.socket)?.clone();
                Some(NamedEndpoint {
                    socket: endpoint.socket,
                    chain,
                })
            })
            .collect()
    }
}

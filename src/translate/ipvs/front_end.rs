//! What one service port becomes: virtual servers, and elements of sets.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::options::IpvsOptions;
use super::sets::IpvsSet;
use crate::model::{
    EndpointAddress, EndpointChoice, EndpointSlice, ProxiedPort, Service, Weights,
    choose_endpoints, endpoints_of, scheduler_of,
};
use crate::plan::ipvs::{Scheduler, Server, ServerKey, ServerSpec};
use crate::translate::nftables::FrontEnd as Key3;
use crate::translate::nftables::key::Key;

/// A virtual server of a service port, with what the table needs for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontEnd {
    /// Who it is for: `default/web:http`.
    pub name: Arc<str>,
    /// The virtual server.
    pub server: Server,
    /// Its address belongs on the dummy device.
    pub bound: bool,
    /// Elements, beside those that every front end has.
    pub marks: Vec<(IpvsSet, Box<[u8]>)>,
}

impl FrontEnd {
    /// All its elements with their comments.
    pub(super) fn elements(
        &self,
        key: &ServerKey,
    ) -> impl Iterator<Item = (IpvsSet, Box<[u8]>, Option<Arc<str>>)> {
        let own = (
            IpvsSet::VirtualServers,
            key_bytes(key),
            Some(Arc::clone(&self.name)),
        );
        let address = Key::new().address(key.address).bytes();
        let address = self.bound.then_some((IpvsSet::Addresses, address, None));
        let marks = self.marks.iter();
        let marks = marks.map(|(set, key)| (*set, key.clone(), None));
        [own].into_iter().chain(address).chain(marks)
    }
}

/// What kind of front end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Cluster,
    External,
    LoadBalancer,
    NodePort,
}

/// A Service under translation.
pub(super) struct Translation<'a> {
    options: &'a IpvsOptions,
    scheduler: Scheduler,
    weights: Weights,
    slices: &'a [EndpointSlice],
    /// What was wrong with annotations; the defaults stand in.
    pub(super) mistakes: Vec<String>,
}

/// What a service port holds.
#[derive(Debug, Default)]
pub(super) struct PortState {
    /// Its front ends; `true` for one that is not its cluster IP.
    pub(super) front_ends: Vec<(ServerKey, bool, FrontEnd)>,
    /// Its endpoints on this node, as elements of the hairpin set.
    pub(super) hairpins: BTreeSet<Box<[u8]>>,
}

impl<'a> Translation<'a> {
    pub(super) fn new(
        service: &Service,
        slices: &'a [EndpointSlice],
        options: &'a IpvsOptions,
    ) -> Self {
        let mut mistakes = Vec::new();
        let mut told = |error: String| mistakes.push(format!("Service {}: {error}", service.name));
        let scheduler = scheduler_of(service).unwrap_or_else(|error| {
            told(error);
            None
        });
        let weights = Weights::of(service, slices).unwrap_or_else(|error| {
            told(error);
            Weights::default()
        });
        Self {
            scheduler: scheduler.unwrap_or_else(|| options.scheduler.clone()),
            weights,
            options,
            slices,
            mistakes,
        }
    }

    /// Translates one port.
    pub(super) fn port(&self, port: &ProxiedPort) -> PortState {
        let node = &self.options.rules.node;
        let endpoints = endpoints_of(port, self.slices, &node.name);
        let choice = choose_endpoints(port, &endpoints, node);
        let mut state = PortState {
            hairpins: hairpins(port, &endpoints),
            ..PortState::default()
        };
        let name: Arc<str> = port.name.to_string().into();
        let mut add = |kind, address, number| {
            let key = ServerKey {
                address,
                protocol: port.name.protocol,
                port: number,
            };
            if state.front_ends.iter().all(|(known, ..)| *known != key) {
                let front_end = self.front_end(kind, &key, port, &choice, &name);
                state
                    .front_ends
                    .push((key, kind != Kind::Cluster, front_end));
            }
        };
        add(Kind::Cluster, port.cluster_ip, port.port);
        for address in &port.load_balancer_vips {
            add(Kind::LoadBalancer, *address, port.port);
        }
        for address in &port.external_ips {
            add(Kind::External, *address, port.port);
        }
        if let Some(number) = port.node_port {
            for address in self.options.node_port_addresses() {
                add(Kind::NodePort, address, number);
            }
        }
        state
    }

    fn front_end(
        &self,
        kind: Kind,
        key: &ServerKey,
        port: &ProxiedPort,
        choice: &EndpointChoice,
        name: &Arc<str>,
    ) -> FrontEnd {
        let local = match kind {
            Kind::Cluster => port.internal_local,
            _ => port.external_local,
        };
        // Without local endpoints kube-proxy takes those of the cluster; who may not use them is
        // dropped before.
        let endpoints = if local && !choice.local.is_empty() {
            &choice.local
        } else {
            &choice.cluster
        };
        let weight = |endpoint: &EndpointAddress| self.weights.weight(endpoint.ip());
        let reals = endpoints.iter().map(|e| (e.socket, weight(e)));
        let spec = ServerSpec {
            scheduler: self.scheduler.clone(),
            persistence: port.affinity_seconds,
        };
        let elsewhere = self.options.local_addresses.contains(&key.address);
        FrontEnd {
            name: Arc::clone(name),
            server: Server {
                spec,
                reals: reals.collect(),
            },
            bound: match kind {
                Kind::Cluster => true,
                Kind::External | Kind::LoadBalancer => !elsewhere,
                Kind::NodePort => false,
            },
            marks: self.marks(kind, key, port, local, choice),
        }
    }

    fn marks(
        &self,
        kind: Kind,
        key: &ServerKey,
        port: &ProxiedPort,
        local: bool,
        choice: &EndpointChoice,
    ) -> Vec<(IpvsSet, Box<[u8]>)> {
        let mut sets = Vec::new();
        let stranded = local && choice.local.is_empty() && choice.has_any;
        match kind {
            Kind::Cluster => {
                sets.push(IpvsSet::ClusterServices);
                sets.extend(stranded.then_some(IpvsSet::NoLocalEndpoints));
            }
            _ if local => sets.extend(stranded.then_some(IpvsSet::NoLocalEndpointsOutside)),
            _ => sets.push(IpvsSet::ExternalServices),
        }
        let bytes = key_bytes(key);
        let mut marks: Vec<_> = sets.into_iter().map(|set| (set, bytes.clone())).collect();
        if kind == Kind::LoadBalancer && !port.source_ranges.is_empty() {
            marks.push((IpvsSet::Firewalled, bytes));
            marks.extend(self.sources(key, port));
        }
        marks
    }

    /// Source ranges of a front end. A node that is inside one reaches it with the front end's own
    /// address as source.
    fn sources(&self, key: &ServerKey, port: &ProxiedPort) -> Vec<(IpvsSet, Box<[u8]>)> {
        let element = |length: u8, address: IpAddr| {
            let bytes = Key::new().address(address).front_end(front(key)).bytes();
            (IpvsSet::Sources(length), bytes)
        };
        let ranges = port.source_ranges.iter();
        let mut sources: Vec<_> = ranges
            .clone()
            .map(|range| element(range.prefix_len(), range.network()))
            .collect();
        let addresses = &self.options.rules.node.addresses;
        if ranges
            .clone()
            .any(|range| addresses.iter().any(|ip| range.contains(ip)))
        {
            sources.push(element(self.options.family().host_prefix(), key.address));
        }
        sources.sort();
        sources.dedup();
        sources
    }
}

/// All endpoints of this node, ready or not: packets of a connection outlive readiness.
fn hairpins(port: &ProxiedPort, endpoints: &[EndpointAddress]) -> BTreeSet<Box<[u8]>> {
    let local = endpoints.iter().filter(|endpoint| endpoint.local);
    let element = |endpoint: &EndpointAddress| {
        let front_end = Key3 {
            address: endpoint.ip(),
            protocol: port.name.protocol,
            port: endpoint.socket.port(),
        };
        Key::new()
            .address(endpoint.ip())
            .front_end(front_end)
            .bytes()
    };
    local.map(element).collect()
}

fn front(key: &ServerKey) -> Key3 {
    Key3 {
        address: key.address,
        protocol: key.protocol,
        port: key.port,
    }
}

/// A virtual server as the key of a set of front ends.
pub(super) fn key_bytes(key: &ServerKey) -> Box<[u8]> {
    Key::new().front_end(front(key)).bytes()
}

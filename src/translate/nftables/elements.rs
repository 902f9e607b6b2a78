//! What one service port holds in the table: elements of sets, and lists of endpoints.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;

use super::key::{FrontEnd, Key, zero};
use super::options::NftablesOptions;
use super::sets::{Comment, SetId};
use crate::model::{EndpointAddress, EndpointChoice, IpFamily, NamespacedName, ProxiedPort};
use crate::plan::nftables::slots::{self, List};
use crate::plan::nftables::text::address_len;
use crate::plan::op::Element;

/// What kind of front end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The cluster IP.
    Cluster,
    /// An external IP, or a node port.
    External,
    /// A load-balancer address, which source ranges protect.
    LoadBalancer,
}

impl Kind {
    /// Not the cluster IP.
    #[must_use]
    pub fn is_outside(self) -> bool {
        self != Self::Cluster
    }
}

/// A front end of a service port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortFrontEnd {
    /// What it is for.
    pub kind: Kind,
    /// What clients connect to.
    pub front_end: FrontEnd,
}

/// The front ends of a service port, each once.
#[must_use]
pub fn front_ends(port: &ProxiedPort) -> Vec<PortFrontEnd> {
    let front_end = |address, number| FrontEnd {
        address,
        protocol: port.name.protocol,
        port: number,
    };
    let family = IpFamily::of(port.cluster_ip);
    let of = |kind, list: &[std::net::IpAddr]| {
        let fronts = list.iter().map(move |ip| (kind, front_end(*ip, port.port)));
        fronts.collect::<Vec<_>>()
    };
    let mut all = vec![(Kind::Cluster, front_end(port.cluster_ip, port.port))];
    // An address that is both has the firewall of a load balancer's.
    all.extend(of(Kind::LoadBalancer, &port.load_balancer_vips));
    all.extend(of(Kind::External, &port.external_ips));
    let node_port = port.node_port.map(|number| front_end(zero(family), number));
    all.extend(node_port.map(|front_end| (Kind::External, front_end)));
    let mut result: Vec<PortFrontEnd> = Vec::new();
    for (kind, front_end) in all {
        if !result.iter().any(|known| known.front_end == front_end) {
            result.push(PortFrontEnd { kind, front_end });
        }
    }
    result
}

/// Something a service port holds in the table. Who holds it says what its comment is
/// ([`SetId::comment_of_element`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held<'a> {
    /// An element of a set.
    Element {
        /// The set, which is no map.
        set: SetId,
        /// The key.
        key: &'a [u8],
    },
    /// Elements of the map of endpoints: one list of a front end.
    List {
        /// The front end, as the beginning of their keys.
        front_end: &'a [u8],
        /// The slot of the first.
        base: u32,
        /// The endpoints in the order of their slots: data after data.
        endpoints: &'a [u8],
    },
}

impl Held<'_> {
    /// The elements it stands for, with comments that name who holds it.
    pub fn elements(
        &self,
        family: IpFamily,
        names: &ElementNames,
        visit: &mut dyn FnMut(SetId, Element),
    ) {
        match *self {
            Self::Element { set, key } => {
                visit(set, element(key.into(), None, names.comment(set)));
            }
            Self::List {
                front_end,
                base,
                endpoints,
            } => {
                let endpoints = endpoints.chunks_exact(endpoint_len(family));
                for (slot, endpoint) in (base..).zip(endpoints) {
                    let element = slot_element(front_end, slot, endpoint);
                    visit(SetId::Endpoints, element);
                }
            }
        }
    }
}

/// The comments of a service port's elements.
#[derive(Clone, Debug)]
pub struct ElementNames {
    service: Arc<str>,
    port: Arc<str>,
}

impl ElementNames {
    /// The names of a Service and of a port of it.
    pub fn new(service: &NamespacedName, port: &impl Display) -> Self {
        Self {
            service: service.to_string().into(),
            port: port.to_string().into(),
        }
    }

    pub(super) fn comment(&self, set: SetId) -> Option<Arc<str>> {
        match set.comment_of_element() {
            Comment::Nothing => None,
            Comment::Service => Some(Arc::clone(&self.service)),
            Comment::Port => Some(Arc::clone(&self.port)),
        }
    }
}

/// Bytes of an endpoint as data of an element.
pub(super) fn endpoint_len(family: IpFamily) -> usize {
    address_len(family) + 4
}

/// The element of a slot.
pub(super) fn slot_element(front_end: &[u8], slot: u32, endpoint: &[u8]) -> Element {
    let key = [front_end, &slot.to_ne_bytes()].concat();
    element(key.into(), Some(endpoint.into()), None)
}

/// An element that is no end of an interval.
pub(super) fn element(
    key: Box<[u8]>,
    data: Option<Box<[u8]>>,
    comment: Option<Arc<str>>,
) -> Element {
    Element {
        key,
        data,
        interval_end: false,
        comment,
    }
}

/// Visits what one service port holds. `owns` tells whether a front end is this port's.
pub fn held(
    port: &ProxiedPort,
    choice: &EndpointChoice,
    options: &NftablesOptions,
    owns: &dyn Fn(&FrontEnd) -> bool,
    visit: &mut dyn FnMut(Held<'_>),
) {
    let key = Key::new().address(port.cluster_ip).bytes();
    let set = SetId::ClusterIps;
    visit(Held::Element { set, key: &key });
    let mut holding = PortHolding {
        port,
        choice,
        options,
        visit,
    };
    for front_end in front_ends(port) {
        if owns(&front_end.front_end) {
            holding.front_end(front_end);
        }
    }
    holding.hairpin();
}

struct PortHolding<'a> {
    port: &'a ProxiedPort,
    choice: &'a EndpointChoice,
    options: &'a NftablesOptions,
    visit: &'a mut dyn FnMut(Held<'_>),
}

impl<'a> PortHolding<'a> {
    fn front_end(&mut self, PortFrontEnd { kind, front_end }: PortFrontEnd) {
        if kind == Kind::LoadBalancer {
            self.source_ranges(front_end);
        }
        if !self.choice.has_any {
            self.plain(SetId::NoEndpoints, front_end);
            return;
        }
        let choice: &'a EndpointChoice = self.choice;
        let (cluster, local): (&[EndpointAddress], &[EndpointAddress]) = match kind {
            Kind::Cluster if self.port.internal_local => (&choice.local, &[]),
            Kind::Cluster => (&choice.cluster, &[]),
            _ if self.port.external_local => (&choice.cluster, &choice.local),
            _ => (&choice.cluster, &[]),
        };
        if kind.is_outside() {
            self.plain(SetId::ExternalServices, front_end);
            if self.port.external_local {
                self.plain(SetId::LocalPolicy, front_end);
            }
        } else if !cluster.is_empty() {
            self.plain(SetId::ClusterServices, front_end);
        }
        let unserved = if kind.is_outside() {
            self.port.external_local && local.is_empty()
        } else {
            cluster.is_empty()
        };
        if unserved {
            self.plain(SetId::NoLocalEndpoints, front_end);
        }
        self.list(front_end, List::Cluster, cluster);
        self.list(front_end, List::Local, local);
        if cluster.len() > slots::SMALL || local.len() > slots::SMALL {
            self.plain(SetId::Large, front_end);
        }
        if let Some(seconds) = self.port.affinity_seconds {
            self.affinity(front_end, seconds, cluster, local);
        }
    }

    fn plain(&mut self, set: SetId, front_end: FrontEnd) {
        self.element(set, Key::new().front_end(front_end));
    }

    fn element(&mut self, set: SetId, key: Key) {
        let key = &key.bytes();
        (self.visit)(Held::Element { set, key });
    }

    fn list(&mut self, front_end: FrontEnd, list: List, endpoints: &[EndpointAddress]) {
        let count = endpoints.len().min(slots::MOST);
        if count == 0 {
            return;
        }
        let data = endpoints.iter().take(count);
        let data = data.fold(Key::new(), |data, e| data.socket(e.socket));
        (self.visit)(Held::List {
            front_end: &Key::new().front_end(front_end).bytes(),
            base: slots::base(list, count),
            endpoints: &data.bytes(),
        });
        if let Some(size) = slots::size(list, count) {
            self.element(SetId::Sizes, Key::new().front_end(front_end).number(size));
        }
    }

    fn affinity(
        &mut self,
        front_end: FrontEnd,
        seconds: u32,
        cluster: &[EndpointAddress],
        local: &[EndpointAddress],
    ) {
        let both = cluster.iter().chain(local);
        let mut sockets: Vec<SocketAddr> = both.map(|endpoint| endpoint.socket).collect();
        sockets.sort_unstable();
        sockets.dedup();
        if sockets.is_empty() {
            return;
        }
        self.plain(SetId::AffinityServices, front_end);
        for socket in sockets {
            let key = Key::new().front_end(front_end).socket(socket);
            self.element(SetId::AffinityEndpoints(seconds), key);
        }
    }

    fn source_ranges(&mut self, front_end: FrontEnd) {
        let ranges = &self.port.source_ranges;
        if ranges.is_empty() {
            return;
        }
        self.plain(SetId::Firewalled, front_end);
        let mut sources: Vec<_> = ranges.iter().map(ipnet::IpNet::trunc).collect();
        let node = self.options.node.address(self.options.family);
        if node.is_some_and(|ip| ranges.iter().any(|range| range.contains(&ip))) {
            let vips = self.port.load_balancer_vips.iter();
            sources.extend(vips.map(|ip| ipnet::IpNet::from(*ip)));
        }
        sources.sort_unstable();
        sources.dedup();
        for source in sources {
            let key = Key::new().address(source.addr()).front_end(front_end);
            self.element(SetId::Sources(source.prefix_len()), key);
        }
    }

    fn hairpin(&mut self) {
        let choice: &'a EndpointChoice = self.choice;
        for endpoint in choice.reachable.iter().filter(|e| e.local) {
            let key = Key::new()
                .address(endpoint.ip())
                .address(endpoint.ip())
                .protocol(self.port.name.protocol)
                .port(endpoint.socket.port());
            self.element(SetId::Hairpin, key);
        }
    }
}

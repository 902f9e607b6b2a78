//! What one service port contributes: elements of sets and maps.

use std::net::SocketAddr;
use std::sync::Arc;

use super::key::{FrontEnd, Key, zero};
use super::options::NftablesOptions;
use super::sets::SetId;
use crate::model::{EndpointAddress, EndpointChoice, IpFamily, ProxiedPort};
use crate::plan::nftables::slots::{self, List};
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

/// The elements of one service port. `owns` tells whether a front end is this port's.
pub fn elements(
    port: &ProxiedPort,
    choice: &EndpointChoice,
    options: &NftablesOptions,
    owns: &dyn Fn(&FrontEnd) -> bool,
    visit: &mut dyn FnMut(SetId, Element),
) {
    let service: Arc<str> = port.name.service.to_string().into();
    let key = Key::new().address(port.cluster_ip).bytes();
    visit(SetId::ClusterIps, element(key, None, Some(&service)));
    let comment: Arc<str> = port.name.to_string().into();
    let mut port_elements = PortElements {
        port,
        choice,
        options,
        comment,
        visit,
    };
    for front_end in front_ends(port) {
        if owns(&front_end.front_end) {
            port_elements.front_end(front_end);
        }
    }
    port_elements.hairpin();
}

struct PortElements<'a> {
    port: &'a ProxiedPort,
    choice: &'a EndpointChoice,
    options: &'a NftablesOptions,
    comment: Arc<str>,
    visit: &'a mut dyn FnMut(SetId, Element),
}

impl<'a> PortElements<'a> {
    fn front_end(&mut self, PortFrontEnd { kind, front_end }: PortFrontEnd) {
        if kind == Kind::LoadBalancer {
            self.source_ranges(front_end);
        }
        if !self.choice.has_any {
            self.named(SetId::NoEndpoints, front_end);
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
            self.named(SetId::ExternalServices, front_end);
            if self.port.external_local {
                self.bare(SetId::LocalPolicy, front_end);
            }
        } else if !cluster.is_empty() {
            self.named(SetId::ClusterServices, front_end);
        }
        let unserved = if kind.is_outside() {
            self.port.external_local && local.is_empty()
        } else {
            cluster.is_empty()
        };
        if unserved {
            self.named(SetId::NoLocalEndpoints, front_end);
        }
        self.slots(front_end, List::Cluster, cluster);
        self.slots(front_end, List::Local, local);
        if cluster.len() > slots::SMALL || local.len() > slots::SMALL {
            self.bare(SetId::Large, front_end);
        }
        if let Some(seconds) = self.port.affinity_seconds {
            self.affinity(front_end, seconds, cluster, local);
        }
    }

    fn named(&mut self, set: SetId, front_end: FrontEnd) {
        let key = Key::new().front_end(front_end).bytes();
        (self.visit)(set, element(key, None, Some(&self.comment)));
    }

    fn bare(&mut self, set: SetId, front_end: FrontEnd) {
        let key = Key::new().front_end(front_end).bytes();
        (self.visit)(set, element(key, None, None));
    }

    fn slots(&mut self, front_end: FrontEnd, list: List, endpoints: &[EndpointAddress]) {
        let count = endpoints.len().min(slots::MOST);
        if count == 0 {
            return;
        }
        for (slot, endpoint) in (slots::base(list, count)..).zip(endpoints.iter().take(count)) {
            let key = Key::new().front_end(front_end).number(slot).bytes();
            let data = Key::new().socket(endpoint.socket).bytes();
            (self.visit)(SetId::Endpoints, element(key, Some(data), None));
        }
        if let Some(size) = slots::size(list, count) {
            let key = Key::new().front_end(front_end).number(size).bytes();
            (self.visit)(SetId::Sizes, element(key, None, None));
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
        self.named(SetId::AffinityServices, front_end);
        for socket in sockets {
            let key = Key::new().front_end(front_end).socket(socket).bytes();
            (self.visit)(SetId::AffinityEndpoints(seconds), element(key, None, None));
        }
    }

    fn source_ranges(&mut self, front_end: FrontEnd) {
        let ranges = &self.port.source_ranges;
        if ranges.is_empty() {
            return;
        }
        self.named(SetId::Firewalled, front_end);
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
            let set = SetId::Sources(source.prefix_len());
            (self.visit)(set, element(key.bytes(), None, None));
        }
    }

    fn hairpin(&mut self) {
        for endpoint in self.choice.reachable.iter().filter(|e| e.local) {
            let key = Key::new()
                .address(endpoint.ip())
                .address(endpoint.ip())
                .protocol(self.port.name.protocol)
                .port(endpoint.socket.port());
            (self.visit)(SetId::Hairpin, element(key.bytes(), None, None));
        }
    }
}

/// An element that is no end of an interval.
pub(super) fn element(
    key: Box<[u8]>,
    data: Option<Box<[u8]>>,
    comment: Option<&Arc<str>>,
) -> Element {
    Element {
        key,
        data,
        interval_end: false,
        comment: comment.cloned(),
    }
}

//! What DNS knows of one Service.

use std::net::IpAddr;

use hickory_proto::rr::Name;

use super::{Text, ZoneOptions};
use crate::model::{Endpoint, EndpointSlice, NamespacedName, Protocol, Service, ServiceType};

/// A Service and its endpoints, as far as names go. Equal entries give equal answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) service: NamespacedName,
    pub(super) kind: Kind,
    /// Its ready endpoints, IPv4 and IPv6, by label and address, each once per set of ports.
    pub(super) endpoints: [Vec<Target>; 2],
    /// The sets of ports that endpoints have.
    pub(super) port_sets: Vec<Vec<Port>>,
}

/// Endpoints, IPv4 and IPv6.
pub(super) type Targets<'e> = [&'e [Target]; 2];

/// What its own name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its cluster IPs.
    ClusterIp {
        addresses: Vec<IpAddr>,
        ports: Vec<Port>,
    },
    /// All its ready endpoints.
    Headless,
    /// Another name.
    ExternalName(Name),
    /// Nothing: an alias to something that is no name.
    Nothing,
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    /// Lower case.
    pub(super) label: Box<str>,
    pub(super) address: IpAddr,
    /// Index into [`Entry::port_sets`].
    pub(super) port_set: usize,
    pub(super) pod: Option<Box<str>>,
    /// Its topology zone, where those can be asked for.
    pub(super) zone: Option<Text>,
}

/// A port of a Service or of endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Port {
    pub(super) name: Text,
    pub(super) protocol: Protocol,
    pub(super) number: u16,
}

impl Entry {
    pub(super) fn new(service: &Service, slices: &[EndpointSlice], options: &ZoneOptions) -> Self {
        let kind = kind(service);
        let mut entry = Self {
            service: service.name.clone(),
            kind,
            endpoints: Default::default(),
            port_sets: Vec::new(),
        };
        if !matches!(entry.kind, Kind::ExternalName(_) | Kind::Nothing) {
            for slice in slices {
                entry.add(slice, options);
            }
        }
        for endpoints in &mut entry.endpoints {
            endpoints.sort();
            // A slice may be seen beside the one that follows it.
            endpoints.dedup_by(|a, b| {
                (&a.label, a.address, a.port_set) == (&b.label, b.address, b.port_set)
            });
            endpoints.shrink_to_fit();
        }
        entry
    }

    fn add(&mut self, slice: &EndpointSlice, options: &ZoneOptions) {
        let ports: Vec<Port> = slice
            .ports
            .iter()
            .map(|port| Port {
                name: port.name.clone(),
                protocol: port.protocol,
                number: port.port,
            })
            .collect();
        let known = self.port_sets.iter().position(|set| *set == ports);
        let port_set = known.unwrap_or_else(|| {
            self.port_sets.push(ports);
            self.port_sets.len() - 1
        });
        let ready = slice.endpoints.iter().filter(|endpoint| endpoint.ready);
        for endpoint in ready {
            self.endpoints[place(endpoint.address)].push(Target {
                label: label(endpoint, options.endpoint_pod_names),
                address: endpoint.address,
                port_set,
                pod: endpoint.pod.clone(),
                zone: endpoint.zone.clone().filter(|_| options.zonal),
            });
        }
    }

    /// Cluster IPs and endpoints. May give an address twice.
    pub(super) fn all_addresses(&self) -> impl Iterator<Item = IpAddr> {
        let own = match &self.kind {
            Kind::ClusterIp { addresses, .. } => addresses.as_slice(),
            _ => &[],
        };
        let endpoints = self.endpoints.iter().flatten();
        let endpoints = endpoints.map(|target| target.address);
        own.iter().copied().chain(endpoints)
    }

    /// It has no ready endpoint.
    pub(super) fn has_no_endpoints(&self) -> bool {
        self.endpoints.iter().all(Vec::is_empty)
    }

    /// All endpoints, by family.
    pub(super) fn targets(&self) -> Targets<'_> {
        let [v4, v6] = &self.endpoints;
        [v4, v6]
    }

    /// The endpoints of a label, in any case, by family.
    pub(super) fn labelled(&self, label: &[u8]) -> Targets<'_> {
        let mut buffer = [0_u8; 63];
        let Some(wanted) = buffer.get_mut(..label.len()) else {
            return [&[], &[]];
        };
        wanted.copy_from_slice(label);
        wanted.make_ascii_lowercase();
        let wanted = &*wanted;
        self.targets().map(|endpoints| {
            let start = endpoints.partition_point(|t| t.label.as_bytes() < wanted);
            let rest = &endpoints[start..];
            let end = rest.partition_point(|t| t.label.as_bytes() == wanted);
            &rest[..end]
        })
    }

    /// The ports of an endpoint.
    pub(super) fn ports_of(&self, target: &Target) -> &[Port] {
        self.port_sets
            .get(target.port_set)
            .map_or(&[], Vec::as_slice)
    }

    /// Every port that a record could be about.
    pub(super) fn all_ports(&self) -> impl Iterator<Item = &Port> {
        let own = match &self.kind {
            Kind::ClusterIp { ports, .. } => ports.as_slice(),
            _ => &[],
        };
        let has_endpoints = self.kind == Kind::Headless && !self.has_no_endpoints();
        let sets = self.port_sets.iter().filter(move |_| has_endpoints);
        own.iter().chain(sets.flatten())
    }
}

impl Port {
    /// Whether `_name._protocol` means it. The underscores may be missing, as CoreDNS has it.
    pub(super) fn is(&self, name: &[u8], protocol: &[u8]) -> bool {
        !self.name.is_empty()
            && bare(name).eq_ignore_ascii_case(self.name.as_bytes())
            && bare(protocol).eq_ignore_ascii_case(self.protocol.lower().as_bytes())
    }
}

fn bare(label: &[u8]) -> &[u8] {
    label.strip_prefix(b"_").unwrap_or(label)
}

/// Index of an address's family.
pub(super) fn place(address: IpAddr) -> usize {
    usize::from(address.is_ipv6())
}

fn kind(service: &Service) -> Kind {
    if service.service_type == ServiceType::ExternalName {
        let target = service.external_name.as_deref().unwrap_or_default();
        return external(target).map_or(Kind::Nothing, Kind::ExternalName);
    }
    if service.headless {
        return Kind::Headless;
    }
    Kind::ClusterIp {
        addresses: service.cluster_ips.clone(),
        ports: service
            .ports
            .iter()
            .map(|port| Port {
                name: port.name.clone(),
                protocol: port.protocol,
                number: port.port,
            })
            .collect(),
    }
}

/// The name that an `ExternalName` Service stands for. An address is none: it would have to be
/// an A record, and clients would not find one behind a CNAME.
fn external(text: &str) -> Option<Name> {
    if text.is_empty() || text.parse::<IpAddr>().is_ok() {
        return None;
    }
    let mut name = Name::from_ascii(text).ok().filter(|name| !name.is_root())?;
    name.set_fqdn(true);
    Some(name)
}

/// The label of an endpoint: its host name; its pod's, where that is wanted and fits; its address.
fn label(endpoint: &Endpoint, pod_names: bool) -> Box<str> {
    if let Some(hostname) = &endpoint.hostname {
        return hostname.to_ascii_lowercase().into();
    }
    match &endpoint.pod {
        Some(pod) if pod_names && pod.len() < 64 => pod.to_ascii_lowercase().into(),
        _ => dashed(endpoint.address),
    }
}

/// `10-11-12-13`; `2001-db8--1`, with a 0 where a dash would be first or last.
pub(super) fn dashed(address: IpAddr) -> Box<str> {
    let mut text = address.to_string().replace(['.', ':'], "-");
    if text.ends_with('-') {
        text.push('0');
    }
    if text.starts_with('-') {
        text.insert(0, '0');
    }
    text.into()
}

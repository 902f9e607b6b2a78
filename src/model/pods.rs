//! Endpoints out of selectors and pods: what the cluster's endpoint-slice controller does, for
//! manifests that hold Pods but no EndpointSlices.
//!
//! Must not be asked for Services whose endpoints someone else made: slices and Endpoints objects
//! in the input win over pods.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::{
    Endpoint, EndpointPort, EndpointSlice, IpFamily, NamespacedName, Node, Protocol, Service,
    ServicePort, TargetPort, TrafficDistribution,
};

/// Endpoints in one slice, the controller's `--max-endpoints-per-slice`.
const MAX_ENDPOINTS: usize = 100;

/// A container's named port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerPort {
    /// `name`, empty if it has none.
    pub name: Box<str>,
    /// `containerPort`.
    pub port: u16,
    /// `protocol`, TCP by default.
    pub protocol: Protocol,
}

/// A Pod, as far as its Services need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Namespace and name.
    pub name: NamespacedName,
    /// `metadata.labels`.
    pub labels: BTreeMap<Box<str>, Box<str>>,
    /// `status.podIPs`, or `status.podIP`.
    pub ips: Vec<IpAddr>,
    /// `spec.nodeName`.
    pub node_name: Option<Arc<str>>,
    /// `spec.hostname`.
    pub hostname: Option<Box<str>>,
    /// `spec.subdomain`.
    pub subdomain: Option<Box<str>>,
    /// Condition `Ready` is true.
    pub ready: bool,
    /// Has a deletion timestamp.
    pub terminating: bool,
    /// Phase `Succeeded` or `Failed`: never an endpoint.
    pub finished: bool,
    /// Ports of all its containers.
    pub ports: Vec<ContainerPort>,
}

/// Pods by namespace and label, so that a Service finds its own without looking at all of them.
#[derive(Debug, Default)]
pub struct PodIndex<'p> {
    by_label: HashMap<(&'p str, &'p str, &'p str), Vec<&'p Pod>>,
}

impl<'p> PodIndex<'p> {
    /// An index of these pods.
    #[must_use]
    pub fn new(pods: &'p [Pod]) -> Self {
        let mut by_label: HashMap<_, Vec<&'p Pod>> = HashMap::new();
        for pod in pods {
            for (key, value) in &pod.labels {
                let label = (&*pod.name.namespace, &**key, &**value);
                by_label.entry(label).or_default().push(pod);
            }
        }
        Self { by_label }
    }

    /// The pods that a Service selects, in the order they came in. A Service without a selector
    /// selects none.
    pub fn selected<'s>(&'s self, service: &'s Service) -> impl Iterator<Item = &'p Pod> + 's {
        let namespace: &str = &service.name.namespace;
        let fewest = service
            .selector
            .iter()
            .map(|(key, value)| {
                let pods = self.by_label.get(&(namespace, &**key, &**value));
                pods.map_or(&[][..], Vec::as_slice)
            })
            .min_by_key(|pods| pods.len());
        fewest.into_iter().flatten().copied().filter(|pod| {
            service
                .selector
                .iter()
                .all(|(key, value)| pod.labels.get(key) == Some(value))
        })
    }
}

/// The slices the controller would make for a Service from the pods its selector matches.
///
/// Families are the Service's; before allocation, where they are not known yet, both.
#[must_use]
pub fn slices_for_service(
    service: &Service,
    pods: &PodIndex<'_>,
    nodes: &BTreeMap<Arc<str>, Node>,
) -> Vec<EndpointSlice> {
    slices_for_pods(service, pods.selected(service), |name| nodes.get(name))
}

/// [`slices_for_service`] from pods that are known to be selected.
pub fn slices_for_pods<'p, 'n>(
    service: &Service,
    selected: impl Iterator<Item = &'p Pod>,
    node: impl Fn(&str) -> Option<&'n Node>,
) -> Vec<EndpointSlice> {
    // Pods with the same ports share slices; named target ports may differ from pod to pod.
    let mut groups: BTreeMap<(IpFamily, Vec<PortKey>), Group> = BTreeMap::new();
    for pod in selected.filter(|pod| !pod.finished) {
        let ports = ports_of(service, pod);
        let zone = pod.node_name.as_deref().and_then(&node);
        let zone = zone.and_then(|node| node.zone.clone());
        for family in families(service) {
            let Some(address) = pod
                .ips
                .iter()
                .copied()
                .find(|ip| IpFamily::of(*ip) == family)
            else {
                continue;
            };
            let key = (family, ports.iter().map(port_key).collect());
            let group = groups.entry(key).or_insert_with(|| Group {
                ports: ports.clone(),
                endpoints: Vec::new(),
            });
            group
                .endpoints
                .push(endpoint(service, pod, address, zone.clone()));
        }
    }
    let mut slices = Vec::new();
    for ((family, _), group) in groups {
        for chunk in group.endpoints.chunks(MAX_ENDPOINTS) {
            slices.push(EndpointSlice {
                name: slice_name(service, family, slices.len()),
                service: service.name.clone(),
                family,
                ports: group.ports.clone(),
                endpoints: chunk.to_vec(),
            });
        }
    }
    slices
}

/// Endpoints that have the same ports.
struct Group {
    ports: Vec<EndpointPort>,
    endpoints: Vec<Endpoint>,
}

fn families(service: &Service) -> Vec<IpFamily> {
    if service.ip_families.is_empty() {
        return IpFamily::ALL.to_vec();
    }
    service.ip_families.clone()
}

/// The controller appends a random suffix; the same pods shall give the same slices here. Padded,
/// so that the order of names is the order of slices.
fn slice_name(service: &Service, family: IpFamily, number: usize) -> NamespacedName {
    let family = family.to_string().to_lowercase();
    let name = format!("{}-{family}-{number:04}", service.name.name);
    NamespacedName::new(Arc::clone(&service.name.namespace), name)
}

type PortKey = (Arc<str>, Protocol, u16);

fn port_key(port: &EndpointPort) -> PortKey {
    (Arc::clone(&port.name), port.protocol, port.port)
}

/// The Service's ports as this pod has them; a named port the pod lacks is left out.
fn ports_of(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let target = |port: &ServicePort| match &port.target_port {
        TargetPort::Number(number) => Some(*number),
        TargetPort::Name(name) => pod
            .ports
            .iter()
            .find(|p| p.name == *name && p.protocol == port.protocol)
            .map(|p| p.port),
    };
    let convert = |port: &ServicePort| {
        Some(EndpointPort {
            name: Arc::clone(&port.name),
            protocol: port.protocol,
            port: target(port)?,
        })
    };
    service.ports.iter().filter_map(convert).collect()
}

fn endpoint(service: &Service, pod: &Pod, address: IpAddr, zone: Option<Arc<str>>) -> Endpoint {
    let serving = pod.ready;
    let ready = service.publish_not_ready_addresses || (serving && !pod.terminating);
    let named_here = pod.subdomain.as_deref() == Some(&*service.name.name);
    let mut endpoint = Endpoint {
        address,
        ready,
        serving,
        terminating: pod.terminating,
        node_name: pod.node_name.clone(),
        zone,
        zone_hints: Vec::new(),
        node_hints: Vec::new(),
        hostname: pod.hostname.clone().filter(|_| named_here),
        pod: Some((*pod.name.name).into()),
    };
    if ready {
        hint(&mut endpoint, service.traffic_distribution);
    }
    endpoint
}

/// Hints by `spec.trafficDistribution`: each endpoint is meant for its own zone, or its own node
/// and else its zone.
fn hint(endpoint: &mut Endpoint, distribution: Option<TrafficDistribution>) {
    let Some(distribution) = distribution else {
        return;
    };
    endpoint.zone_hints.extend(endpoint.zone.clone());
    if distribution == TrafficDistribution::PreferSameNode {
        endpoint.node_hints.extend(endpoint.node_name.clone());
    }
}

#[cfg(test)]
mod tests;

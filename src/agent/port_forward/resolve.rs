//! From what is asked for to endpoints. Pure.

use std::net::SocketAddr;

use super::target::{PortSpec, Remote, Target};
use crate::model::{NamespacedName, Pod, PodIndex, Protocol, Service, Snapshot, Workload};

/// What there is to forward to.
#[derive(Debug, Default)]
pub(super) struct Objects {
    /// Services and their slices.
    pub(super) snapshot: Snapshot,
    /// Pods.
    pub(super) pods: Vec<Pod>,
    /// What makes pods.
    pub(super) workloads: Vec<Workload>,
}

/// Where a port leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Way {
    /// The number of the port that was asked for.
    pub(super) asked: u16,
    /// The endpoints, those that are ready. None where there are none at the moment.
    pub(super) endpoints: Vec<SocketAddr>,
}

/// Nothing that could ever be forwarded to.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ResolveError {
    /// No such object.
    #[error("there is no {target} in namespace {namespace}")]
    NoTarget { target: Target, namespace: String },
    /// No such port.
    #[error("{target} has no port {port} of {protocol}; it has {has}")]
    NoPort {
        target: Target,
        port: Remote,
        protocol: Protocol,
        has: String,
    },
}

impl Objects {
    /// The way to a port of a target.
    pub(super) fn way(
        &self,
        namespace: &str,
        target: &Target,
        spec: &PortSpec,
    ) -> Result<Way, ResolveError> {
        let no_target = || ResolveError::NoTarget {
            target: target.clone(),
            namespace: namespace.to_owned(),
        };
        match target {
            Target::Service(name) => {
                let name = NamespacedName::new(namespace, name.as_str());
                let service = self.snapshot.services.get(&name).ok_or_else(no_target)?;
                self.way_of_service(service, target, spec)
            }
            Target::Pod(name) => {
                let mut pods = self.pods.iter();
                let is = |pod: &&Pod| &*pod.name.namespace == namespace && *pod.name.name == **name;
                let pod = pods.find(is).ok_or_else(no_target)?;
                way_of_pods(&[pod], target, spec)
            }
            Target::Workload(kind, name) => {
                let mut workloads = self.workloads.iter();
                let workload = workloads.find(|workload| {
                    workload.kind == *kind
                        && &*workload.name.namespace == namespace
                        && *workload.name.name == **name
                });
                let workload = workload.ok_or_else(no_target)?;
                // As a Service with the labels of its pods would select them.
                let labels = workload.template.labels.clone();
                let selecting = Service {
                    selector: labels,
                    ..Service::new(workload.name.clone())
                };
                let index = PodIndex::new(&self.pods);
                let pods: Vec<&Pod> = index.selected(&selecting).collect();
                if pods.is_empty() {
                    return way_of_pods(&[&workload.template], target, spec);
                }
                way_of_pods(&pods, target, spec)
            }
        }
    }

    fn way_of_service(
        &self,
        service: &Service,
        target: &Target,
        spec: &PortSpec,
    ) -> Result<Way, ResolveError> {
        let mut ports = service.ports.iter();
        let port = ports.find(|port| {
            let named = match &spec.remote {
                Remote::Number(number) => port.port == *number,
                Remote::Name(name) => *port.name == **name,
            };
            named && port.protocol == spec.protocol
        });
        let Some(port) = port else {
            let has = service.ports.iter();
            let has = has.map(|port| format!("{}/{}", port.port, port.protocol));
            let has: Vec<String> = has.collect();
            return Err(no_port(target, spec, &has));
        };
        let slices = self.snapshot.slices_of(&service.name).iter();
        let of_slices = slices.flat_map(|slice| {
            let numbers = slice
                .ports
                .iter()
                .filter(|p| p.name == port.name && p.protocol == port.protocol && p.port != 0);
            numbers.flat_map(|p| {
                let ready = slice.endpoints.iter().filter(|endpoint| endpoint.ready);
                ready.map(|endpoint| SocketAddr::new(endpoint.address, p.port))
            })
        });
        Ok(way(port.port, of_slices.collect()))
    }
}

fn way_of_pods(pods: &[&Pod], target: &Target, spec: &PortSpec) -> Result<Way, ResolveError> {
    let number = |pod: &Pod| match &spec.remote {
        // A pod may listen on ports that its manifest does not tell.
        Remote::Number(number) => Some(*number),
        Remote::Name(name) => {
            let mut ports = pod.ports.iter();
            let port = ports.find(|p| *p.name == **name && p.protocol == spec.protocol)?;
            Some(port.port)
        }
    };
    let Some(asked) = pods.iter().find_map(|pod| number(pod)) else {
        let has = pods.iter().flat_map(|pod| &pod.ports);
        let has = has.map(|port| format!("{} ({}/{})", port.name, port.port, port.protocol));
        let has: Vec<String> = has.collect();
        return Err(no_port(target, spec, &has));
    };
    let usable = pods
        .iter()
        .filter(|pod| !pod.finished && (pod.ready || pods.len() == 1));
    let endpoints = usable.filter_map(|pod| {
        let ip = pod.ips.first()?;
        Some(SocketAddr::new(*ip, number(pod)?))
    });
    Ok(way(asked, endpoints.collect()))
}

fn way(asked: u16, mut endpoints: Vec<SocketAddr>) -> Way {
    endpoints.sort_unstable();
    endpoints.dedup();
    Way { asked, endpoints }
}

pub(super) fn no_port(target: &Target, spec: &PortSpec, has: &[String]) -> ResolveError {
    ResolveError::NoPort {
        target: target.clone(),
        port: spec.remote.clone(),
        protocol: spec.protocol,
        has: if has.is_empty() {
            "none".to_owned()
        } else {
            has.join(", ")
        },
    }
}

//! What manifests or a lab hold, and the way to it by addresses. Pure.

use std::net::SocketAddr;

use super::resolve::{Asked, ResolveError, Way};
use super::target::{PortSpec, Target};
use crate::model::{Endpoint, NamespacedName, Pod, PodIndex, Service, Snapshot, Workload};

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

impl Objects {
    /// The way to a port of a target.
    pub(super) fn way(
        &self,
        namespace: &str,
        target: &Target,
        spec: &PortSpec,
    ) -> Result<Way<SocketAddr>, ResolveError> {
        let asked = Asked { target, spec };
        let no_target = || ResolveError::NoTarget {
            target: target.clone(),
            namespace: namespace.to_owned(),
        };
        let is = |found: &NamespacedName, name: &str| {
            &*found.namespace == namespace && *found.name == *name
        };
        match target {
            Target::Service(name) => {
                let name = NamespacedName::new(namespace, name.as_str());
                let service = self.snapshot.services.get(&name).ok_or_else(no_target)?;
                let slices = self.snapshot.slices_of(&service.name);
                asked.of_service(service, slices, |endpoint: &Endpoint, port| {
                    Some(SocketAddr::new(endpoint.address, port))
                })
            }
            Target::Pod(name) => {
                let mut pods = self.pods.iter();
                let pod = pods.find(|pod| is(&pod.name, name)).ok_or_else(no_target)?;
                asked.of_pods(&[pod], address)
            }
            Target::Workload(kind, name) => {
                let mut workloads = self.workloads.iter();
                let workload = workloads
                    .find(|workload| workload.kind == *kind && is(&workload.name, name))
                    .ok_or_else(no_target)?;
                // As a Service with the labels of its pods would select them.
                let selecting = Service {
                    selector: workload.template.labels.clone(),
                    ..Service::new(workload.name.clone())
                };
                let index = PodIndex::new(&self.pods);
                let pods: Vec<&Pod> = index.selected(&selecting).collect();
                asked.of_workload(&pods, &workload.template, address)
            }
        }
    }
}

fn address(pod: &Pod, port: u16) -> Option<SocketAddr> {
    let ip = pod.ips.first()?;
    Some(SocketAddr::new(*ip, port))
}

//! From objects of the API to Pods and their ports. Pure.

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;

use super::super::resolve::{ResolveError, no_port};
use super::super::target::{PortSpec, Remote, Target};

/// A port of a Pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) pod: String,
    pub(super) port: u16,
}

/// Where a port leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Way {
    /// The number of the port that was asked for.
    pub(super) asked: u16,
    /// The Pods that can be forwarded to at the moment, in order.
    pub(super) places: Vec<Place>,
}

impl Way {
    fn new(asked: u16, mut places: Vec<Place>) -> Self {
        places.sort_unstable();
        // A Pod with two addresses is in two slices.
        places.dedup();
        Self { asked, places }
    }
}

/// The Pods behind a Service's port: those of its endpoints that are ready, at the port of their
/// slice, which has a named target port resolved.
pub(super) fn of_service(
    service: &Service,
    slices: &[EndpointSlice],
    target: &Target,
    spec: &PortSpec,
) -> Result<Way, ResolveError> {
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter());
    let ports: Vec<_> = ports.flatten().collect();
    let protocol = |given: &Option<String>| given.clone().unwrap_or_else(|| "TCP".to_owned());
    let wanted = spec.protocol.to_string();
    let port = ports.iter().find(|port| {
        let named = match &spec.remote {
            Remote::Number(number) => port.port == i32::from(*number),
            Remote::Name(name) => port.name.as_ref() == Some(name),
        };
        named && protocol(&port.protocol) == wanted
    });
    let Some(port) = port else {
        let has = ports.iter();
        let has = has.map(|port| format!("{}/{}", port.port, protocol(&port.protocol)));
        return Err(no_port(target, spec, &has.collect::<Vec<_>>()));
    };
    let name = port.name.as_deref().unwrap_or_default();
    let places = slices.iter().flat_map(|slice| {
        let numbers = slice.ports.iter().flatten().filter(|there| {
            there.name.as_deref().unwrap_or_default() == name && protocol(&there.protocol) == wanted
        });
        numbers
            .filter_map(|there| u16::try_from(there.port?).ok())
            .flat_map(|number| ready_pods(slice).map(move |pod| (pod, number)))
    });
    let places = places.map(|(pod, port)| Place {
        pod: pod.to_owned(),
        port,
    });
    Ok(Way::new(
        u16::try_from(port.port).unwrap_or_default(),
        places.collect(),
    ))
}

/// Pods of a slice that are ready. An endpoint that is no Pod is not reached through a kubelet.
fn ready_pods(slice: &EndpointSlice) -> impl Iterator<Item = &str> {
    let ready = slice.endpoints.iter().flatten().filter(|endpoint| {
        let conditions = endpoint.conditions.as_ref();
        conditions.and_then(|conditions| conditions.ready) != Some(false)
    });
    ready.filter_map(|endpoint| {
        let target = endpoint.target_ref.as_ref()?;
        let is_pod = target.kind.as_deref() == Some("Pod");
        target.name.as_deref().filter(|_| is_pod)
    })
}

/// The Pods among these that run: those that are ready, or if none is, any.
pub(super) fn of_pods(pods: &[Pod], target: &Target, spec: &PortSpec) -> Result<Way, ResolveError> {
    let numbered = pods.iter().find_map(|pod| number(pod, spec));
    let asked = match (&spec.remote, numbered) {
        (_, Some(number)) => number,
        // Pods are yet to come.
        (Remote::Number(number), None) => *number,
        (Remote::Name(_), None) => {
            let has = pods.iter().flat_map(ports);
            let has = has.map(|port| {
                let protocol = port.protocol.as_deref().unwrap_or("TCP");
                let name = port.name.as_deref().unwrap_or("unnamed");
                format!("{name} ({}/{protocol})", port.container_port)
            });
            let mut has: Vec<_> = has.collect();
            has.dedup();
            return Err(no_port(target, spec, &has));
        }
    };
    let running: Vec<&Pod> = pods.iter().filter(|pod| runs(pod)).collect();
    let place = |pod: &&Pod| {
        Some(Place {
            pod: pod.metadata.name.clone()?,
            port: number(pod, spec)?,
        })
    };
    let ready: Vec<Place> = running
        .iter()
        .filter(|p| is_ready(p))
        .filter_map(place)
        .collect();
    if ready.is_empty() {
        return Ok(Way::new(asked, running.iter().filter_map(place).collect()));
    }
    Ok(Way::new(asked, ready))
}

fn ports(pod: &Pod) -> impl Iterator<Item = &k8s_openapi::api::core::v1::ContainerPort> {
    let containers = pod.spec.iter().flat_map(|spec| spec.containers.iter());
    containers.flat_map(|container| container.ports.iter().flatten())
}

fn number(pod: &Pod, spec: &PortSpec) -> Option<u16> {
    match &spec.remote {
        // A Pod may listen on ports that its manifest does not tell.
        Remote::Number(number) => Some(*number),
        Remote::Name(name) => {
            let protocol = spec.protocol.to_string();
            let mut ports = ports(pod);
            let port = ports.find(|port| {
                port.name.as_ref() == Some(name)
                    && port.protocol.as_deref().unwrap_or("TCP") == protocol
            })?;
            u16::try_from(port.container_port).ok()
        }
    }
}

fn runs(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    phase == Some("Running") && pod.metadata.deletion_timestamp.is_none()
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter());
    let mut conditions = conditions.flatten();
    conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

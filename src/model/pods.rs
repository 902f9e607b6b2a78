//! Endpoints out of selectors and pods: what the cluster's endpoint-slice controller does, for
//! manifests that hold Pods but no EndpointSlices.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::{EndpointSlice, NamespacedName, Node, Protocol, Service};

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

/// The slices the controller would make for a Service from the pods its selector matches.
#[must_use]
pub fn slices_for_service(
    service: &Service,
    pods: &[Pod],
    nodes: &BTreeMap<Arc<str>, Node>,
) -> Vec<EndpointSlice> {
    let _ = (service, pods, nodes);
    Vec::new()
}

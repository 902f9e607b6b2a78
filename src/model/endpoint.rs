//! Endpoints as EndpointSlices carry them.

use std::net::IpAddr;
use std::sync::Arc;

use super::{IpFamily, NamespacedName, Protocol};

/// One entry of `endpoints[]`, with the API's defaults applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `addresses[0]`: the only one kube-proxy uses.
    pub address: IpAddr,
    /// `conditions.ready`, true if absent.
    pub ready: bool,
    /// `conditions.serving`, true if absent (it does not inherit from `ready`).
    pub serving: bool,
    /// `conditions.terminating`, false if absent.
    pub terminating: bool,
    /// `nodeName`.
    pub node_name: Option<Arc<str>>,
    /// `zone`.
    pub zone: Option<Arc<str>>,
    /// `hints.forZones[].name`; empty if there are none.
    pub zone_hints: Vec<Arc<str>>,
    /// `hints.forNodes[].name`; empty if there are none.
    pub node_hints: Vec<Arc<str>>,
    /// `hostname`, for DNS.
    pub hostname: Option<Box<str>>,
    /// `targetRef.name` where the target is a Pod.
    pub pod: Option<Box<str>>,
}

/// One entry of a slice's `ports[]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EndpointPort {
    /// Name, matched against `spec.ports[].name`; empty by default.
    pub name: Arc<str>,
    /// Protocol, TCP by default.
    pub protocol: Protocol,
    /// Port number; entries without one are dropped at decoding.
    pub port: u16,
}

/// An EndpointSlice of one Service and one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSlice {
    /// Namespace and name of the slice.
    pub name: NamespacedName,
    /// The Service it belongs to: label `kubernetes.io/service-name`.
    pub service: NamespacedName,
    /// `addressType`.
    pub family: IpFamily,
    /// `ports`.
    pub ports: Vec<EndpointPort>,
    /// `endpoints`.
    pub endpoints: Vec<Endpoint>,
}

//! What a cluster's Services are, as values: services, endpoints, nodes, and the choices made
//! among them.
//!
//! Owns the meaning of a Service for one node. Must not do I/O, must not know rules, sockets or
//! the wire form of the Kubernetes API (that is [`crate::source`]).

pub mod allocate;
mod delta;
mod endpoint;
mod endpoint_choice;
mod family;
mod ipvs;
mod name;
mod node;
mod pods;
mod service;
mod service_port;
mod snapshot;
mod workload;

pub use delta::{SnapshotDelta, Touched};
pub use endpoint::{Endpoint, EndpointPort, EndpointSlice};
pub use endpoint_choice::{EndpointAddress, EndpointChoice, choose_endpoints, endpoints_of};
pub use family::{IpFamily, Protocol};
pub(crate) use ipvs::{BY_PORT, FALLBACK};
pub use ipvs::{SCHEDULER_ANNOTATION, Scheduler, WEIGHT_ANNOTATION, Weights, scheduler_of};
pub use name::{NamespacedName, ServicePortName};
pub use node::{Node, NodePortAddresses};
pub use pods::{ContainerPort, Pod, PodIndex, slices_for_pods, slices_for_service};
pub use service::{
    IngressMode, IpFamilyPolicy, LoadBalancerIngress, Service, ServicePort, ServiceType,
    TargetPort, TrafficDistribution, TrafficPolicy,
};
pub use service_port::{ProxiedPort, proxied_ports};
pub use snapshot::Snapshot;
pub use workload::{Workload, WorkloadKind};

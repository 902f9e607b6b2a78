//! From the wire form of API objects to the model, in the API server's three steps: [`defaults`],
//! [`validate`], [`convert`].
//!
//! Works on typed objects, whatever they were read from. Must not read files, must not allocate
//! addresses or ports (that is [`crate::model::allocate`]): what only allocation can decide is
//! left open here.

pub mod convert;
pub mod defaults;
mod findings;
pub mod ip;
pub mod names;
mod shown;
pub mod validate;

pub use findings::{FieldError, Findings, Reason};
pub(in crate::source) use shown::shorten;
pub use shown::{Path, Shown};

/// Label of an EndpointSlice that names its Service.
pub const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";
/// What annotations that portolan reads begin with.
pub const OWN_ANNOTATIONS: &str = "portolan.dev/";
/// Label that gives a Service to another proxy, whatever its value.
pub const SERVICE_PROXY_NAME_LABEL: &str = "service.kubernetes.io/service-proxy-name";
/// Label of a Node that names its zone.
pub const ZONE_LABEL: &str = "topology.kubernetes.io/zone";
/// Label of a Node that no load balancer is to send traffic to, whatever its value.
pub const EXCLUDE_LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// `spec.clusterIP` of a headless Service.
pub const CLUSTER_IP_NONE: &str = "None";

/// `spec.clusterIPs` of a headless Service is exactly `[None]`.
#[must_use]
pub fn is_headless(spec: &k8s_openapi::api::core::v1::ServiceSpec) -> bool {
    matches!(spec.cluster_ips.as_deref(), Some([only]) if only == CLUSTER_IP_NONE)
}

/// A Service that something outside the cluster can reach (`ExternallyAccessible` upstream).
#[must_use]
pub fn is_externally_accessible(spec: &k8s_openapi::api::core::v1::ServiceSpec) -> bool {
    match spec.type_.as_deref() {
        Some("LoadBalancer" | "NodePort") => true,
        Some("ClusterIP") => spec
            .external_ips
            .as_ref()
            .is_some_and(|ips| !ips.is_empty()),
        _ => false,
    }
}

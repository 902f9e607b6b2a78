//! What the API server refuses when an object is created, and what it warns about
//! (`apis/core/validation`, `apis/discovery/validation`, `api/service/warnings.go`).
//!
//! Expects defaulted objects. Must not check what only allocation can decide: ranges of cluster
//! IPs and node ports, whether the cluster has a second family, whether a health-check port is there.

mod cluster_ips;
mod endpoints;
mod external;
mod metadata;
mod node;
mod pod;
mod service;
mod service_ports;
mod slice;
mod status;
mod warnings;

pub use endpoints::endpoints;
pub use metadata::namespace;
pub use node::node;
pub use pod::pod;
pub use service::service;
pub use slice::endpoint_slice;

/// Transport protocols, sorted as the API server lists them.
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

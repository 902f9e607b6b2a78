//! Laid out by section of the specification; what it leaves open comes after.

mod answers_there_are_none;
mod apex;
mod beside_run;
mod choices;
mod clients;
mod examples;
mod forwarding;
mod limits;
mod live;
mod node_local;
mod not_yet;
mod pods;
mod rate_limit;
mod reverse;
mod s2_2_schema_version;
mod s2_3_cluster_ip;
mod s2_4_headless;
mod s2_5_external_name;
mod server;
mod transfer;
mod transport;

/// The cluster that most cases are about.
const CLUSTER: &str = include_str!("cluster.yaml");

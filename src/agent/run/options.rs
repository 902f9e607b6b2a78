//! What an agent is started with: every flag, validated, in one value.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::{Origin, Periods};
use crate::agent::announce::AnnounceOptions;
use crate::config::{NodeFlags, ProxyConfig};
use crate::dns::service::DnsOptions;
use crate::kernel::netns::NetnsRef;

/// What to run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// What rules are to look like.
    pub config: ProxyConfig,
    /// Where Services come from.
    pub origin: Origin,
    /// The network namespace to program and to serve in.
    pub netns: NetnsRef,
    /// How often what is done.
    pub periods: Periods,
    /// Where metrics are served, if at all.
    pub metrics_address: Option<SocketAddr>,
    /// Where health is served, if at all.
    pub healthz_address: Option<SocketAddr>,
    /// A port that cannot be bound at the start is an error.
    pub bind_hard_fail: bool,
    /// Remove what is ours when the loop ends.
    pub cleanup_on_exit: bool,
    /// Settings of the node beside rules.
    pub node: NodeFlags,
    /// What kube-proxy's configuration file sets, as a nested object; empty without one.
    pub file: serde_json::Value,
    /// That file and its content: the loop ends when it has another.
    pub watched: Option<(PathBuf, String)>,
    /// The name server beside it, if any.
    pub dns: Option<DnsOptions>,
    /// Announcing addresses of load balancers, if that is wanted.
    pub announce: Option<AnnounceOptions>,
    /// The addresses of cluster DNS that this node is to answer at by itself.
    pub node_dns: Vec<IpAddr>,
}

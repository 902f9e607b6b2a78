//! What a running agent counts and measures, in Prometheus' text format.
//!
//! * `kube_proxy`: kube-proxy's names, types and buckets, those of them that have a meaning here.
//! * `nfacct`: packet counters of the iptables mode.
//! * `own`: what kube-proxy has no name for: commits, repairs, elements, manifests.
//! * `process`: the process itself, under the names every Prometheus client uses.
//!
//! Must not decide anything: it is told.

mod kube_proxy;
mod nfacct;
mod own;
mod process;

use std::time::{Duration, SystemTime};

use prometheus::core::Collector;
use prometheus::{Registry, TextEncoder};

use crate::agent::run::programmer::Programmed;
use crate::config::Mode;
use crate::kernel::conntrack::Usage;
use crate::model::IpFamily;
use kube_proxy::KubeProxy;
use nfacct::NfacctCollector;
use own::Own;
use process::ProcessCollector;

pub use kube_proxy::{NoLocalEndpoints, Probe};

/// The content type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Changes that wait to be programmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Services.
    pub services: usize,
    /// Services whose endpoints changed.
    pub endpoints: usize,
}

/// The metrics of one agent. Shared between the loop, which writes, and servers, which read.
pub struct Metrics {
    registry: Registry,
    families: Vec<IpFamily>,
    kube_proxy: KubeProxy,
    own: Own,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Metrics of an agent in this mode on a node that speaks these families.
    ///
    /// # Errors
    /// Two metrics have the same name, which is a mistake in this module.
    pub fn new(mode: Mode, families: &[IpFamily]) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let kube_proxy = KubeProxy::register(&registry, mode, families)?;
        let own = Own::register(&registry)?;
        if mode == Mode::Iptables {
            NfacctCollector::register(&registry)?;
        }
        registry.register(Box::new(ProcessCollector::new()?))?;
        Ok(Self {
            registry,
            families: families.to_vec(),
            kube_proxy,
            own,
        })
    }

    /// Where other parts of the agent register metrics of their own.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Everything as text.
    ///
    /// # Errors
    /// A metric without a name, which the types of this module rule out.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// Something was asked to be programmed.
    pub fn queued(&self, pending: Pending) {
        self.kube_proxy.queued(&self.families, pending);
    }

    /// So many Services, and Services' endpoints, changed.
    pub fn changed(&self, services: usize, endpoints: usize) {
        self.kube_proxy.changed(services, endpoints);
    }

    /// A sync ended well after `elapsed`.
    pub fn programmed(&self, done: &Programmed, elapsed: Duration) {
        self.kube_proxy.programmed(&self.families, done, elapsed);
        self.own.programmed(done);
    }

    /// A sync failed after `elapsed`.
    pub fn failed(&self, full: bool, elapsed: Duration) {
        self.kube_proxy.failed(&self.families, full, elapsed);
    }

    /// Removing what is ours failed.
    pub fn cleanup_failed(&self) {
        self.kube_proxy.cleanup_failed(&self.families);
    }

    /// The endpoints of so many Services were programmed `latency` after their change was seen.
    pub fn network_programmed(&self, endpoints: usize, latency: Duration) {
        self.kube_proxy
            .network_programmed(&self.families, endpoints, latency);
    }

    /// Service ports with a Local policy and no endpoint on this node.
    pub fn no_local_endpoints(&self, family: IpFamily, counts: NoLocalEndpoints) {
        self.kube_proxy.no_local_endpoints(family, counts);
    }

    /// A look at the connection table, which took so long, removed this many entries of a family.
    pub fn flows_removed(&self, family: IpFamily, count: usize, elapsed: Duration) {
        if self.families.contains(&family) {
            self.kube_proxy.flows_removed(family, count, elapsed);
        }
    }

    /// Stale connections could not be removed; that is tried again.
    pub fn flows_not_removed(&self) {
        self.own.flows_not_removed();
    }

    /// The connection table is this full.
    pub fn connections(&self, usage: Usage) {
        self.own.connections(usage);
    }

    /// A health probe was answered.
    pub fn probed(&self, probe: Probe, code: u16) {
        self.kube_proxy.probed(probe, code);
    }

    /// Damage that somebody else did was repaired.
    pub fn repaired(&self, damage: &str) {
        self.own.repaired(damage);
    }

    /// The manifests as they are now hold so many mistakes and are not in force; 0 if they are.
    pub fn manifest_errors(&self, mistakes: usize) {
        self.own.manifest_errors(mistakes);
    }

    /// So many health-check node ports cannot be served.
    pub fn health_check_ports_failing(&self, ports: usize) {
        self.own.health_check_ports_failing(ports);
    }
}

/// Registers a metric and keeps a handle of it.
fn registered<M: Collector + Clone + 'static>(
    registry: &Registry,
    metric: Result<M, prometheus::Error>,
) -> Result<M, prometheus::Error> {
    let metric = metric?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

/// Seconds since 1970.
fn unix_seconds() -> f64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0.0, |elapsed| elapsed.as_secs_f64())
}

/// A count as a gauge has it. Exact up to 2^53.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of objects stay far below 2^53"
)]
fn gauge_value(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;

//! Everybody who is told what the loop does: metrics, health, and the ports of the node.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::runtime::Handle;

use super::announcements;
use super::no_local::NoLocal;
use super::programmer::Programmed;
use super::work::Work;
use crate::agent::announce::AddressAnnouncer;
use crate::agent::conntrack::changes::Before;
use crate::agent::conntrack::cleaner::Cleaner;
use crate::agent::health::Health;
use crate::agent::health::listen::Server;
use crate::agent::health::server::Wanted;
use crate::agent::health_check_ports::HealthCheckPorts;
use crate::agent::metrics::Metrics;
use crate::config::ProxyConfig;
use crate::dns::service::Dns;
use crate::model::{IpFamily, Snapshot, SnapshotDelta};
use crate::source::kubernetes::{Announcement, Announcer};

/// The observers of one loop. To be used on the loop's thread, in the network namespace.
pub(super) struct Observers {
    pub(super) metrics: Arc<Metrics>,
    pub(super) health: Arc<Health>,
    pub(super) families: Vec<IpFamily>,
    pub(super) no_local: NoLocal,
    /// Set but in tests of the loop itself.
    pub(super) ports: Option<HealthCheckPorts>,
    /// Set but in tests of the loop itself.
    pub(super) flows: Option<Flows>,
    /// Names follow rules: what resolves can be reached.
    pub(super) dns: Option<Dns>,
    /// Addresses are announced once their rules are there.
    pub(super) addresses: Option<AddressAnnouncer>,
    /// The health and the metrics server.
    pub(super) servers: Vec<Wanted>,
    pub(super) runtime: Option<Handle>,
    /// Events on the own Node, where there is a cluster to write them to.
    pub(super) announcer: Option<Announcer>,
}

/// What is needed to remove stale connections.
pub(super) struct Flows {
    pub(super) cleaner: Cleaner,
    /// Where Services led that changed since they were last programmed.
    pub(super) before: Before,
    pub(super) config: ProxyConfig,
}

impl Observers {
    /// The snapshot is about to change.
    pub(super) fn changing(&mut self, snapshot: &Snapshot, delta: &SnapshotDelta) {
        self.metrics
            .changed(delta.services.len(), delta.slices.len());
        if let Some(flows) = &mut self.flows {
            flows.before.remember(snapshot, delta);
        }
    }

    /// The snapshot is about to be programmed.
    pub(super) fn programming(&self, snapshot: &Snapshot) {
        if let Some(flows) = &self.flows {
            // Of a node that went, what was last known counts.
            if let Some(node) = snapshot.nodes.get(&flows.config.node_name) {
                self.health.leaving(node.leaving);
            }
            flows.cleaner.about_to_program(&flows.before, snapshot);
        }
    }

    /// This waits to be programmed.
    pub(super) fn queued(&self, work: &Work, now: Instant) {
        self.metrics.queued(work.pending);
        self.health.queued(now);
    }

    /// The first load is in the kernel.
    pub(super) fn started(&mut self, snapshot: &Snapshot, done: &Programmed, elapsed: Duration) {
        self.metrics
            .changed(snapshot.services.len(), snapshot.slices.len());
        self.metrics.programmed(done, elapsed);
        self.health.updated(&self.families);
        self.programming(snapshot);
        self.no_local.follow_all(snapshot);
        if let Some(flows) = &self.flows {
            flows.cleaner.started(snapshot, &flows.config);
        }
        if let Some(ports) = &mut self.ports {
            ports.follow_all(snapshot);
        }
        if let Some(dns) = &self.dns {
            dns.names().replace(snapshot);
        }
        if let Some(addresses) = &self.addresses {
            addresses.follow_all(snapshot);
        }
        self.tell_counts();
    }

    /// Work is in the kernel.
    pub(super) fn programmed(
        &mut self,
        snapshot: &Snapshot,
        work: &Work,
        done: &Programmed,
        elapsed: Duration,
        now: Instant,
    ) {
        self.metrics.programmed(done, elapsed);
        self.health.updated(&self.families);
        let wall = Timestamp::now();
        for trigger in &work.triggers {
            let latency = wall.duration_since(*trigger).try_into();
            self.metrics
                .network_programmed(1, latency.unwrap_or_default());
        }
        if let Some(since) = work.since {
            let latency = now.saturating_duration_since(since);
            self.metrics
                .network_programmed(work.pending.endpoints, latency);
        }
        // Damage that turned out to be none needs no repair.
        if !done.is_nothing() {
            for foreign in &work.foreign {
                self.metrics.repaired(foreign.damage);
            }
        }
        if work.touched.is_empty() {
            return;
        }
        if let Some(flows) = &mut self.flows {
            let before = std::mem::take(&mut flows.before);
            flows.cleaner.programmed(&before, snapshot);
        }
        if let Some(dns) = &self.dns {
            dns.names().follow(snapshot, &work.touched);
        }
        if let Some(addresses) = &self.addresses {
            addresses.follow_touched(snapshot, &work.touched);
        }
        self.no_local.follow_touched(snapshot, &work.touched);
        if let Some(ports) = &mut self.ports {
            ports.follow_touched(snapshot, &work.touched);
        }
        self.tell_counts();
    }

    fn tell_counts(&mut self) {
        for (family, counts) in self.no_local.totals() {
            self.metrics.no_local_endpoints(family, counts);
        }
        self.tell_failing_ports();
    }

    fn tell_failing_ports(&mut self) {
        let news = self.ports.as_mut().map(HealthCheckPorts::take_news);
        for (service, why) in news.into_iter().flatten() {
            self.announce(announcements::not_served(service, why));
        }
        let failing = self.ports.as_ref().map_or(0, HealthCheckPorts::failing);
        self.metrics.health_check_ports_failing(failing);
    }

    /// The agent ends: balancers are told to go elsewhere by whatever is still asked, and then by
    /// ports that are closed. Rules stay in force.
    pub(super) fn drain(&mut self) {
        self.health.leaving(true);
        let servers = self.servers.iter_mut().filter_map(Wanted::take);
        let mut servers: Vec<_> = servers.collect();
        if let Some(ports) = &mut self.ports {
            servers.extend(ports.take_servers());
        }
        Server::finish(servers);
    }

    /// Makes something known in the cluster.
    pub(super) fn announce(&self, announcement: Announcement) {
        if let Some(announcer) = &self.announcer {
            announcer.tell(announcement);
        }
    }

    /// Some port is not served that should be.
    pub(super) fn unbound(&self) -> bool {
        let ports = self.ports.as_ref().is_some_and(|ports| ports.failing() > 0);
        ports || self.servers.iter().any(|server| !server.is_running())
    }

    /// Tries those ports again.
    pub(super) fn rebind(&mut self) {
        if let Some(ports) = &mut self.ports {
            ports.bind_missing();
        }
        self.tell_failing_ports();
        if let Some(runtime) = &self.runtime {
            for server in &mut self.servers {
                server.try_start(runtime);
            }
        }
    }
}

//! kube-proxy's metrics: names, help texts, types, labels and buckets of Kubernetes 1.36
//! (`pkg/proxy/metrics`), so that dashboards and alerts go on working.

mod registrar;

use std::time::Duration;

use prometheus::{Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, Registry};

use super::{Pending, gauge_value, unix_seconds};
use crate::agent::run::programmer::Programmed;
use crate::config::Mode;
use crate::model::IpFamily;
use registrar::{Registrar, network_programming_buckets};

const FAMILY: &str = "ip_family";

/// Service ports of one family that send nowhere because no endpoint is on this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NoLocalEndpoints {
    /// Under `internalTrafficPolicy: Local`.
    pub internal: usize,
    /// Under `externalTrafficPolicy: Local`.
    pub external: usize,
}

/// A path of the health server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// `/healthz`
    Healthz,
    /// `/livez`
    Livez,
}

/// Handles of the metrics.
pub(super) struct KubeProxy {
    sync: HistogramVec,
    sync_full: HistogramVec,
    sync_partial: HistogramVec,
    network_programming: HistogramVec,
    last: GaugeVec,
    last_queued: GaugeVec,
    endpoints_pending: Gauge,
    endpoints_changed: IntCounter,
    services_pending: Gauge,
    services_changed: IntCounter,
    no_local: GaugeVec,
    healthz: IntCounterVec,
    livez: IntCounterVec,
    sync_failures: IntCounterVec,
    conntrack: HistogramVec,
    conntrack_deleted: IntCounterVec,
    of_mode: OfMode,
}

/// Metrics that only one mode has.
enum OfMode {
    Iptables {
        rules: GaugeVec,
        rules_last: GaugeVec,
        partial_failures: IntCounterVec,
    },
    Nftables {
        cleanup_failures: IntCounterVec,
    },
}

impl KubeProxy {
    pub(super) fn register(
        registry: &Registry,
        mode: Mode,
        families: &[IpFamily],
    ) -> Result<Self, prometheus::Error> {
        let by = Registrar(registry);
        let metrics = Self {
            sync: by.latency(
                "sync_proxy_rules_duration_seconds",
                "SyncProxyRules latency in seconds",
            )?,
            sync_full: by.latency(
                "sync_full_proxy_rules_duration_seconds",
                "SyncProxyRules latency in seconds for full resyncs",
            )?,
            sync_partial: by.latency(
                "sync_partial_proxy_rules_duration_seconds",
                "SyncProxyRules latency in seconds for partial resyncs",
            )?,
            network_programming: by.histogram(
                "network_programming_duration_seconds",
                "In Cluster Network Programming Latency in seconds",
                network_programming_buckets(),
            )?,
            last: by.gauges(
                "sync_proxy_rules_last_timestamp_seconds",
                "The last time proxy rules were successfully synced",
                &[FAMILY],
            )?,
            last_queued: by.gauges(
                "sync_proxy_rules_last_queued_timestamp_seconds",
                "The last time a sync of proxy rules was queued",
                &[FAMILY],
            )?,
            endpoints_pending: by.gauge(
                "sync_proxy_rules_endpoint_changes_pending",
                "Pending proxy rules Endpoint changes",
            )?,
            endpoints_changed: by.counter(
                "sync_proxy_rules_endpoint_changes_total",
                "Cumulative proxy rules Endpoint changes",
            )?,
            services_pending: by.gauge(
                "sync_proxy_rules_service_changes_pending",
                "Pending proxy rules Service changes",
            )?,
            services_changed: by.counter(
                "sync_proxy_rules_service_changes_total",
                "Cumulative proxy rules Service changes",
            )?,
            no_local: by.gauges(
                "sync_proxy_rules_no_local_endpoints_total",
                "Number of services with a Local traffic policy and no endpoints",
                &["traffic_policy", FAMILY],
            )?,
            healthz: by.counters(
                "proxy_healthz_total",
                "Cumulative proxy healthz HTTP status",
                &["code"],
            )?,
            livez: by.counters(
                "proxy_livez_total",
                "Cumulative proxy livez HTTP status",
                &["code"],
            )?,
            sync_failures: by.sync_failures(mode)?,
            conntrack: by.latency(
                "conntrack_reconciler_sync_duration_seconds",
                "ReconcileConntrackFlowsLatency latency in seconds",
            )?,
            conntrack_deleted: by.counters(
                "conntrack_reconciler_deleted_entries_total",
                "Cumulative conntrack flows deleted by conntrack reconciler",
                &[FAMILY],
            )?,
            of_mode: by.of_mode(mode)?,
        };
        metrics.initialise(families);
        Ok(metrics)
    }

    /// Shows what may be counted at 0 before anything happened, so that rates start right.
    fn initialise(&self, families: &[IpFamily]) {
        for family in families {
            let family = family.to_string();
            for histogram in [
                &self.sync,
                &self.sync_full,
                &self.sync_partial,
                &self.network_programming,
                &self.conntrack,
            ] {
                histogram.with_label_values(&[&family]);
            }
            self.last.with_label_values(&[&family]);
            self.last_queued.with_label_values(&[&family]);
            self.sync_failures.with_label_values(&[&family]);
            self.conntrack_deleted.with_label_values(&[&family]);
            for policy in ["internal", "external"] {
                self.no_local.with_label_values(&[policy, &family]);
            }
            match &self.of_mode {
                OfMode::Iptables {
                    rules,
                    rules_last,
                    partial_failures,
                } => {
                    partial_failures.with_label_values(&[&family]);
                    for table in ["filter", "nat"] {
                        rules.with_label_values(&[table, &family]);
                        rules_last.with_label_values(&[table, &family]);
                    }
                }
                OfMode::Nftables { cleanup_failures } => {
                    cleanup_failures.with_label_values(&[&family]);
                }
            }
        }
        for probe in [&self.healthz, &self.livez] {
            for code in ["200", "503"] {
                probe.with_label_values(&[code]);
            }
        }
    }

    pub(super) fn queued(&self, families: &[IpFamily], pending: Pending) {
        self.set_pending(pending);
        for family in families {
            self.last_queued
                .with_label_values(&[&family.to_string()])
                .set(unix_seconds());
        }
    }

    fn set_pending(&self, pending: Pending) {
        self.services_pending.set(gauge_value(pending.services));
        self.endpoints_pending.set(gauge_value(pending.endpoints));
    }

    pub(super) fn changed(&self, services: usize, endpoints: usize) {
        self.services_changed.inc_by(services as u64);
        self.endpoints_changed.inc_by(endpoints as u64);
    }

    pub(super) fn programmed(&self, families: &[IpFamily], done: &Programmed, elapsed: Duration) {
        self.set_pending(Pending::default());
        for family in families {
            let family = family.to_string();
            self.observe(&family, done.full, elapsed);
            self.last.with_label_values(&[&family]).set(unix_seconds());
        }
        if let OfMode::Iptables {
            rules, rules_last, ..
        } = &self.of_mode
        {
            for size in &done.sizes {
                let labels = [size.part, &size.family.to_string()];
                rules
                    .with_label_values(&labels)
                    .set(gauge_value(size.count));
                rules_last
                    .with_label_values(&labels)
                    .set(gauge_value(size.count));
            }
        }
    }

    pub(super) fn failed(&self, families: &[IpFamily], full: bool, elapsed: Duration) {
        for family in families {
            let family = family.to_string();
            self.observe(&family, full, elapsed);
            self.sync_failures.with_label_values(&[&family]).inc();
            if let OfMode::Iptables {
                partial_failures, ..
            } = &self.of_mode
                && !full
            {
                partial_failures.with_label_values(&[&family]).inc();
            }
        }
    }

    fn observe(&self, family: &str, full: bool, elapsed: Duration) {
        let seconds = elapsed.as_secs_f64();
        let kind = if full {
            &self.sync_full
        } else {
            &self.sync_partial
        };
        for histogram in [&self.sync, kind] {
            histogram.with_label_values(&[family]).observe(seconds);
        }
    }

    pub(super) fn cleanup_failed(&self, families: &[IpFamily]) {
        if let OfMode::Nftables { cleanup_failures } = &self.of_mode {
            for family in families {
                cleanup_failures
                    .with_label_values(&[&family.to_string()])
                    .inc();
            }
        }
    }

    pub(super) fn network_programmed(
        &self,
        families: &[IpFamily],
        endpoints: usize,
        latency: Duration,
    ) {
        for family in families {
            let histogram: Histogram = self
                .network_programming
                .with_label_values(&[&family.to_string()]);
            for _ in 0..endpoints {
                histogram.observe(latency.as_secs_f64());
            }
        }
    }

    pub(super) fn no_local_endpoints(&self, family: IpFamily, counts: NoLocalEndpoints) {
        let family = family.to_string();
        for (policy, count) in [("internal", counts.internal), ("external", counts.external)] {
            self.no_local
                .with_label_values(&[policy, &family])
                .set(gauge_value(count));
        }
    }

    pub(super) fn flows_removed(&self, family: IpFamily, count: usize, elapsed: Duration) {
        let labels = [&family.to_string()];
        let seconds = elapsed.as_secs_f64();
        self.conntrack.with_label_values(&labels).observe(seconds);
        let deleted = self.conntrack_deleted.with_label_values(&labels);
        deleted.inc_by(count as u64);
    }

    pub(super) fn probed(&self, probe: Probe, code: u16) {
        let counter = match probe {
            Probe::Healthz => &self.healthz,
            Probe::Livez => &self.livez,
        };
        counter.with_label_values(&[&code.to_string()]).inc();
    }
}

//! Metrics under the name `portolan_`: what kube-proxy has no name for.

use prometheus::{
    GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};

use super::{gauge_value, registered};
use crate::agent::run::programmer::Programmed;
use crate::kernel::conntrack::Usage;

/// Handles of the metrics.
pub(super) struct Own {
    commit: Histogram,
    transactions: IntCounter,
    messages: IntCounter,
    bytes: IntCounter,
    repairs: IntCounterVec,
    elements: GaugeVec,
    manifest_errors: IntGauge,
    health_check_ports_failing: IntGauge,
    connections: IntGauge,
    connections_limit: IntGauge,
    conntrack_failures: IntCounter,
}

impl Own {
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| registered(registry, IntCounter::new(name, help));
        let gauge = |name: &str, help: &str| registered(registry, IntGauge::new(name, help));
        // From 10 µs, a small commit, to over 20 s.
        let commit_options = HistogramOpts::new(
            "portolan_commit_seconds",
            "Time to write a change into the kernel: encoding, sending and the kernel's own work",
        )
        .buckets(prometheus::exponential_buckets(0.000_01, 2.0, 22)?);
        let own = Self {
            commit: registered(registry, Histogram::with_opts(commit_options))?,
            transactions: counter("portolan_commits_total", "nf_tables transactions committed")?,
            messages: counter(
                "portolan_commit_messages_total",
                "Netlink messages in committed transactions",
            )?,
            bytes: counter(
                "portolan_commit_bytes_total",
                "Bytes of netlink messages in committed transactions",
            )?,
            repairs: registered(
                registry,
                IntCounterVec::new(
                    Opts::new(
                        "portolan_repairs_total",
                        "Repairs of what other programs did to our rules, by damage",
                    ),
                    &["damage"],
                ),
            )?,
            elements: registered(
                registry,
                GaugeVec::new(
                    Opts::new(
                        "portolan_elements",
                        "What the kernel holds of ours: elements by set or map, rules by table",
                    ),
                    &["part", "ip_family"],
                ),
            )?,
            manifest_errors: gauge(
                "portolan_manifest_errors",
                "Mistakes in the manifests as they are now, which are therefore not in force",
            )?,
            health_check_ports_failing: gauge(
                "portolan_health_check_ports_failing",
                "Health-check node ports that cannot be served",
            )?,
            connections: gauge(
                "portolan_conntrack_entries",
                "Entries of the connection table",
            )?,
            connections_limit: gauge(
                "portolan_conntrack_entries_limit",
                "Entries of the connection table beyond which new connections are dropped",
            )?,
            conntrack_failures: counter(
                "portolan_conntrack_failures_total",
                "Looks at the connection table that failed, and are made again",
            )?,
        };
        build_info(registry)?;
        Ok(own)
    }

    pub(super) fn programmed(&self, done: &Programmed) {
        if !done.is_nothing() {
            self.commit.observe(done.commit_time.as_secs_f64());
        }
        self.transactions.inc_by(done.transactions as u64);
        self.messages.inc_by(done.messages as u64);
        self.bytes.inc_by(done.bytes as u64);
        for size in &done.sizes {
            self.elements
                .with_label_values(&[size.part, &size.family.to_string()])
                .set(gauge_value(size.count));
        }
    }

    pub(super) fn repaired(&self, damage: &str) {
        self.repairs.with_label_values(&[damage]).inc();
    }

    pub(super) fn manifest_errors(&self, mistakes: usize) {
        self.manifest_errors.set(saturated(mistakes));
    }

    pub(super) fn health_check_ports_failing(&self, ports: usize) {
        self.health_check_ports_failing.set(saturated(ports));
    }

    pub(super) fn connections(&self, usage: Usage) {
        let value = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.connections.set(value(usage.entries));
        self.connections_limit.set(value(usage.limit));
    }

    pub(super) fn flows_not_removed(&self) {
        self.conntrack_failures.inc();
    }
}

/// Always 1; its labels say which portolan this is.
fn build_info(registry: &Registry) -> Result<(), prometheus::Error> {
    let options = Opts::new("portolan_build_info", "The program that runs; always 1");
    let info = registered(registry, GaugeVec::new(options, &["version", "arch"]))?;
    info.with_label_values(&[env!("CARGO_PKG_VERSION"), std::env::consts::ARCH])
        .set(1.0);
    Ok(())
}

fn saturated(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

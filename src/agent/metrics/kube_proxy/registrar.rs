//! Makes and registers metrics as kube-proxy does: its prefix, its buckets.

use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
};

use super::{FAMILY, OfMode};
use crate::agent::metrics::registered;
use crate::config::Mode;

const PREFIX: &str = "kubeproxy_";

/// Makes and registers metrics with kube-proxy's prefix.
pub(super) struct Registrar<'a>(pub(super) &'a Registry);

impl Registrar<'_> {
    pub(super) fn latency(
        &self,
        name: &str,
        help: &str,
    ) -> Result<HistogramVec, prometheus::Error> {
        self.histogram(name, help, prometheus::exponential_buckets(0.001, 2.0, 15)?)
    }

    pub(super) fn histogram(
        &self,
        name: &str,
        help: &str,
        buckets: Vec<f64>,
    ) -> Result<HistogramVec, prometheus::Error> {
        let options = HistogramOpts::new(format!("{PREFIX}{name}"), help).buckets(buckets);
        registered(self.0, HistogramVec::new(options, &[FAMILY]))
    }

    pub(super) fn gauge(&self, name: &str, help: &str) -> Result<Gauge, prometheus::Error> {
        registered(self.0, Gauge::new(format!("{PREFIX}{name}"), help))
    }

    pub(super) fn gauges(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<GaugeVec, prometheus::Error> {
        let options = Opts::new(format!("{PREFIX}{name}"), help);
        registered(self.0, GaugeVec::new(options, labels))
    }

    pub(super) fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        registered(self.0, IntCounter::new(format!("{PREFIX}{name}"), help))
    }

    pub(super) fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        let options = Opts::new(format!("{PREFIX}{name}"), help);
        registered(self.0, IntCounterVec::new(options, labels))
    }

    pub(super) fn sync_failures(&self, mode: Mode) -> Result<IntCounterVec, prometheus::Error> {
        let (name, help) = if mode == Mode::Iptables {
            (
                "sync_proxy_rules_iptables_restore_failures_total",
                "Cumulative proxy iptables restore failures",
            )
        } else {
            (
                "sync_proxy_rules_nftables_sync_failures_total",
                "Cumulative proxy nftables sync failures",
            )
        };
        self.counters(name, help, &[FAMILY])
    }

    pub(super) fn of_mode(&self, mode: Mode) -> Result<OfMode, prometheus::Error> {
        let table = ["table", FAMILY];
        if mode != Mode::Iptables {
            return Ok(OfMode::Nftables {
                cleanup_failures: self.counters(
                    "sync_proxy_rules_nftables_cleanup_failures_total",
                    "Cumulative proxy nftables cleanup failures",
                    &[FAMILY],
                )?,
            });
        }
        Ok(OfMode::Iptables {
            rules: self.gauges(
                "sync_proxy_rules_iptables_total",
                "Total number of iptables rules owned by kube-proxy",
                &table,
            )?,
            rules_last: self.gauges(
                "sync_proxy_rules_iptables_last",
                "Number of iptables rules written by kube-proxy in last sync",
                &table,
            )?,
            partial_failures: self.counters(
                "sync_proxy_rules_iptables_partial_restore_failures_total",
                "Cumulative proxy iptables partial restore failures",
                &[FAMILY],
            )?,
        })
    }
}

/// 0.25, 0.5, then every second to 59, every 5 to 115, every 30 to 300: the buckets of the
/// Kubernetes network programming latency SLI.
pub(super) fn network_programming_buckets() -> Vec<f64> {
    let steps = |from: u32, to: u32, step: usize| (from..=to).step_by(step).map(f64::from);
    [0.25, 0.5]
        .into_iter()
        .chain(steps(1, 59, 1))
        .chain(steps(60, 115, 5))
        .chain(steps(120, 300, 30))
        .collect()
}

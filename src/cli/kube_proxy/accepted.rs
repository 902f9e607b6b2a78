//! Flags of kube-proxy that are taken, so that its command lines work as they are, and that are not
//! needed.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::config::duration;

/// kube-proxy's flags that say nothing to portolan. Hidden in the help.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Unneeded {
    #[arg(long, hide = true)]
    feature_gates: Option<String>,
    #[arg(long, hide = true)]
    kube_api_content_type: Option<String>,
    #[arg(long, hide = true)]
    kube_api_qps: Option<f32>,
    #[arg(long, hide = true)]
    kube_api_burst: Option<i32>,
    #[arg(long, hide = true)]
    profiling: bool,
    #[arg(long, hide = true)]
    show_hidden_metrics_for_version: Option<String>,
    #[arg(long, hide = true, value_parser = duration)]
    config_sync_period: Option<Duration>,
    #[arg(long, hide = true)]
    vmodule: Option<String>,
    #[arg(long, hide = true, value_parser = duration)]
    log_flush_frequency: Option<Duration>,
    #[arg(long, hide = true)]
    log_json_info_buffer_size: Option<String>,
    #[arg(long, hide = true)]
    log_json_split_stream: bool,
    #[arg(long, hide = true)]
    log_text_info_buffer_size: Option<String>,
    #[arg(long, hide = true)]
    log_text_split_stream: bool,
    #[arg(long, hide = true)]
    boot_id_file: Option<String>,
    #[arg(long, hide = true)]
    machine_id_file: Option<String>,
}

/// Those, and such that mean something in a corner.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct AcceptedFlags {
    #[command(flatten)]
    unneeded: Unneeded,

    /// Nothing is bound to it: an IPv6 address makes the other two addresses IPv6 by default
    #[arg(long, hide = true, default_value = "0.0.0.0")]
    pub(in crate::cli) bind_address: String,

    /// Deprecated: 0 switches the health server off
    #[arg(long, hide = true)]
    pub(in crate::cli) healthz_port: Option<u16>,

    /// Deprecated: 0 switches the metrics server off
    #[arg(long, hide = true)]
    pub(in crate::cli) metrics_port: Option<u16>,

    /// The period of the ipvs mode
    #[arg(long, hide = true, value_parser = duration)]
    pub(in crate::cli) ipvs_sync_period: Option<Duration>,

    /// The least period of the ipvs mode
    #[arg(long, hide = true, value_parser = duration)]
    pub(in crate::cli) ipvs_min_sync_period: Option<Duration>,
}

impl AcceptedFlags {
    /// An address to serve at, with what the deprecated flag for its port (`--healthz-port`) says,
    /// and in the family of `--bind-address` if it is none but the default.
    pub(in crate::cli) fn address(&self, address: &str, port: Option<u16>) -> String {
        let v6 = self
            .bind_address
            .parse()
            .is_ok_and(|ip: IpAddr| ip.is_ipv6());
        let of_family = match (v6, address) {
            (true, "0.0.0.0:10256") => "[::]:10256",
            (true, "127.0.0.1:10249") => "[::1]:10249",
            _ => address,
        };
        match port {
            Some(0) => String::new(),
            Some(port) => match of_family.parse::<IpAddr>() {
                Ok(ip) => SocketAddr::new(ip, port).to_string(),
                Err(_) => of_family.to_owned(),
            },
            None => of_family.to_owned(),
        }
    }

    /// What is wrong with `--bind-address`.
    pub(in crate::cli) fn mistake(&self) -> Option<String> {
        let text = &self.bind_address;
        let wrong = text.parse::<IpAddr>().is_err();
        wrong.then(|| format!("--bind-address: \"{text}\" is not an IP address"))
    }

    /// Flags that were given and are not needed, with the reason.
    pub(in crate::cli) fn not_needed(&self) -> Vec<String> {
        let given = &self.unneeded;
        let flags = [
            (
                given.feature_gates.is_some(),
                "--feature-gates",
                "what they switch is as released",
            ),
            (
                given.kube_api_content_type.is_some(),
                "--kube-api-content-type",
                "requests are as small as the API allows",
            ),
            (
                given.kube_api_qps.is_some(),
                "--kube-api-qps",
                "watches need no budget of requests",
            ),
            (
                given.kube_api_burst.is_some(),
                "--kube-api-burst",
                "watches need no budget of requests",
            ),
            (
                given.profiling,
                "--profiling",
                "there is no profiler to serve",
            ),
            (
                given.show_hidden_metrics_for_version.is_some(),
                "--show-hidden-metrics-for-version",
                "no metric is hidden",
            ),
            (
                given.config_sync_period.is_some(),
                "--config-sync-period",
                "objects are compared as they come",
            ),
            (
                given.vmodule.is_some(),
                "--vmodule",
                "RUST_LOG sets levels by module",
            ),
            (
                given.log_flush_frequency.is_some(),
                "--log-flush-frequency",
                "log lines are not buffered",
            ),
            (
                given.log_json_info_buffer_size.is_some(),
                "--log-json-info-buffer-size",
                "log lines are not buffered",
            ),
            (
                given.log_json_split_stream,
                "--log-json-split-stream",
                "the log goes to standard error",
            ),
            (
                given.log_text_info_buffer_size.is_some(),
                "--log-text-info-buffer-size",
                "log lines are not buffered",
            ),
            (
                given.log_text_split_stream,
                "--log-text-split-stream",
                "the log goes to standard error",
            ),
            (
                given.boot_id_file.is_some(),
                "--boot-id-file",
                "kube-proxy does not read it either",
            ),
            (
                given.machine_id_file.is_some(),
                "--machine-id-file",
                "kube-proxy does not read it either",
            ),
        ];
        let given = flags.into_iter().filter(|(given, ..)| *given);
        given
            .map(|(_, flag, why)| format!("{flag}: {why}"))
            .collect()
    }
}

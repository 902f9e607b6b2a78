//! Flags of the IPVS mode. Names and defaults are kube-proxy's where it has one.

use std::time::Duration;

use clap::Args;
use ipnet::IpNet;

use super::duration::duration;
use super::proxy::cidr_list;
use crate::model::Scheduler;

/// Flags that only `--mode ipvs` reads.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "IPVS mode")]
pub struct IpvsFlags {
    /// Scheduler of Services that name none: rr, wrr, lc, wlc, fo, ovf, lblc, lblcr, dh, sh, mh,
    /// sed, nq; with flags as in sh,sh-port,sh-fallback
    #[arg(long, value_name = "NAME", default_value = "rr")]
    pub ipvs_scheduler: String,

    /// Answer and announce addresses of kube-ipvs0 on no other link (sets arp_ignore, arp_announce)
    #[arg(long, visible_alias = "strict-arp")]
    pub ipvs_strict_arp: bool,

    /// Addresses whose virtual servers are never touched
    #[arg(
        long,
        value_name = "CIDR,…",
        default_value = "",
        hide_default_value = true
    )]
    pub ipvs_exclude_cidrs: String,

    /// Timeout of established TCP connections; 0s leaves the kernel's
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    pub ipvs_tcp_timeout: Duration,

    /// Timeout of TCP connections after a FIN; 0s leaves the kernel's
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    pub ipvs_tcpfin_timeout: Duration,

    /// Timeout of UDP flows; 0s leaves the kernel's
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    pub ipvs_udp_timeout: Duration,

    /// Most time that connections of an endpoint that went are waited for; 0s cuts them off
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = duration)]
    pub ipvs_drain_timeout: Duration,

    /// Wait for connections of deleted Services too
    #[arg(long)]
    pub ipvs_drain_services: bool,
}

/// The validated settings of the IPVS mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpvsConfig {
    /// Scheduler of Services that name none.
    pub scheduler: Scheduler,
    /// ARP for addresses of the dummy device is answered by no other link.
    pub strict_arp: bool,
    /// Addresses that are never touched.
    pub excluded: Vec<IpNet>,
    /// Timeouts in seconds of TCP, TCP after a FIN, and UDP; 0 for the kernel's.
    pub timeouts: [u32; 3],
    /// Most time that connections are waited for; zero for none.
    pub drain_timeout: Duration,
    /// Connections of deleted Services are waited for too.
    pub drain_services: bool,
}

impl IpvsConfig {
    pub(super) fn from_flags(flags: &IpvsFlags, errors: &mut Vec<String>) -> Self {
        let scheduler = flags.ipvs_scheduler.trim().parse();
        let scheduler = scheduler.unwrap_or_else(|error| {
            errors.push(format!("--ipvs-scheduler: {error}"));
            Scheduler::default()
        });
        let mut seconds = |flag: &str, duration: Duration| {
            // kube-proxy cuts fractions off; the kernel takes what fits its signed jiffies.
            match u32::try_from(duration.as_secs()) {
                Ok(seconds) if seconds <= 86_400 * 20 => seconds,
                _ => {
                    errors.push(format!("{flag}: at most 480h"));
                    0
                }
            }
        };
        let timeouts = [
            seconds("--ipvs-tcp-timeout", flags.ipvs_tcp_timeout),
            seconds("--ipvs-tcpfin-timeout", flags.ipvs_tcpfin_timeout),
            seconds("--ipvs-udp-timeout", flags.ipvs_udp_timeout),
        ];
        Self {
            scheduler,
            strict_arp: flags.ipvs_strict_arp,
            excluded: cidr_list("--ipvs-exclude-cidrs", &flags.ipvs_exclude_cidrs, errors),
            timeouts,
            drain_timeout: flags.ipvs_drain_timeout,
            drain_services: flags.ipvs_drain_services,
        }
    }
}

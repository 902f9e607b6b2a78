//! Flags for settings of the node beside rules: the connection table, and this process's chance to
//! survive when memory runs out. Names and defaults are kube-proxy's.

use std::time::Duration;

use clap::Args;

use super::duration;

/// Most entries that a limit by CPUs comes to: 512 CPUs at 32768 each.
const MOST_BY_CORES: i64 = 1 << 20;

/// Settings of the node.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(next_help_heading = "Node")]
pub struct NodeFlags {
    /// Connections that the kernel's table may hold, for each CPU; 0 leaves its limit as it is
    #[arg(long, value_name = "COUNT", default_value_t = 32768)]
    pub conntrack_max_per_core: u32,

    /// Connections that it may hold at least
    #[arg(long, value_name = "COUNT", default_value_t = 131_072)]
    pub conntrack_min: u32,

    /// How long an idle TCP connection is remembered; 0s leaves the kernel's timeout
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    pub conntrack_tcp_timeout_established: Duration,

    /// How long a TCP connection is remembered that one side has closed; 0s leaves the kernel's
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = duration)]
    pub conntrack_tcp_timeout_close_wait: Duration,

    /// Let TCP packets pass that are outside the window, instead of calling them INVALID
    #[arg(long)]
    pub conntrack_tcp_be_liberal: bool,

    /// How long unanswered UDP is remembered; 0s leaves the kernel's timeout
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    pub conntrack_udp_timeout: Duration,

    /// How long answered UDP is remembered; 0s leaves the kernel's timeout
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration)]
    pub conntrack_udp_timeout_stream: Duration,

    /// How much rather this process is ended than others when memory runs out
    #[arg(
        long,
        value_name = "-1000…1000",
        default_value_t = -999,
        allow_hyphen_values = true,
        value_parser = clap::value_parser!(i32).range(-1000..=1000)
    )]
    pub oom_score_adj: i32,
}

impl NodeFlags {
    /// The limit of the connection table on a node with so many CPUs; `None` leaves it.
    #[must_use]
    pub fn conntrack_max(&self, cpus: usize) -> Option<i64> {
        if self.conntrack_max_per_core == 0 {
            return None;
        }
        let cpus = i64::try_from(cpus).unwrap_or(i64::MAX);
        let scaled = i64::from(self.conntrack_max_per_core).saturating_mul(cpus);
        Some(if scaled > MOST_BY_CORES {
            MOST_BY_CORES
        } else {
            scaled.max(i64::from(self.conntrack_min))
        })
    }

    /// Kernel settings, named with slashes, that the flags ask for beside that limit.
    #[must_use]
    pub fn sysctls(&self) -> Vec<(&'static str, i64)> {
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        let timeouts = [
            (
                "net/netfilter/nf_conntrack_tcp_timeout_established",
                self.conntrack_tcp_timeout_established,
            ),
            (
                "net/netfilter/nf_conntrack_tcp_timeout_close_wait",
                self.conntrack_tcp_timeout_close_wait,
            ),
            (
                "net/netfilter/nf_conntrack_udp_timeout",
                self.conntrack_udp_timeout,
            ),
            (
                "net/netfilter/nf_conntrack_udp_timeout_stream",
                self.conntrack_udp_timeout_stream,
            ),
        ];
        let set = timeouts
            .into_iter()
            .map(|(name, value)| (name, seconds(value)));
        let mut sysctls: Vec<_> = set.filter(|(_, seconds)| *seconds > 0).collect();
        if self.conntrack_tcp_be_liberal {
            sysctls.push(("net/netfilter/nf_conntrack_tcp_be_liberal", 1));
        }
        sysctls
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: NodeFlags,
    }

    fn flags(flags: &[&str]) -> NodeFlags {
        Line::parse_from(std::iter::once(&"portolan").chain(flags)).flags
    }

    #[test]
    fn the_limit_follows_the_cpus_between_its_floor_and_its_cap() {
        let default = flags(&[]);
        assert_eq!(default.conntrack_max(1), Some(131_072));
        assert_eq!(default.conntrack_max(8), Some(262_144));
        assert_eq!(default.conntrack_max(512), Some(1_048_576));
        assert_eq!(
            flags(&["--conntrack-max-per-core=0"]).conntrack_max(8),
            None
        );
    }

    #[test]
    fn what_is_0_is_left_to_the_kernel() {
        let names = |flags: NodeFlags| flags.sysctls().iter().map(|(n, _)| *n).collect::<Vec<_>>();
        assert_eq!(names(flags(&[])).len(), 2);
        let all = flags(&[
            "--conntrack-tcp-timeout-established=0s",
            "--conntrack-tcp-timeout-close-wait=0s",
            "--conntrack-udp-timeout=30s",
            "--conntrack-tcp-be-liberal",
        ]);
        assert_eq!(
            all.sysctls(),
            [
                ("net/netfilter/nf_conntrack_udp_timeout", 30),
                ("net/netfilter/nf_conntrack_tcp_be_liberal", 1)
            ]
        );
    }
}

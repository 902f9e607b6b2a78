//! Flags of the userspace mode, for `run`.

use std::time::Duration;

use crate::agent::userspace::UserspaceOptions;
use crate::config::duration;

/// How the agent forwards in userspace mode.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Userspace mode")]
pub(super) struct UserspaceFlags {
    /// How long a client's datagrams may pause before its endpoint is chosen anew
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    udp_timeout: Duration,

    /// How long a connection may be silent before it is reset
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration)]
    tcp_idle_timeout: Duration,

    /// How long connections may go on after a signal to stop
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    shutdown_grace_period: Duration,
}

impl UserspaceFlags {
    /// The flags as the agent takes them; 0 is for ever.
    pub(super) fn options(&self) -> UserspaceOptions {
        let limit = |duration: Duration| {
            if duration.is_zero() {
                // As long as timers can wait.
                Duration::from_secs(60 * 60 * 24 * 365)
            } else {
                duration
            }
        };
        UserspaceOptions {
            tcp_idle: limit(self.tcp_idle_timeout),
            udp_idle: limit(self.udp_timeout),
            grace: self.shutdown_grace_period,
        }
    }
}

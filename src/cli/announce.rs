//! The flags of announcing addresses of load balancers.

use std::time::Duration;

use crate::agent::announce::{AnnounceOptions, LeaseOptions};
use crate::agent::run::Origin;
use crate::announce::{LeaseTiming, Timing};
use crate::config::ProxyConfig;
use crate::config::duration;

/// Leases say their duration in whole seconds, and a node needs time for a second try.
const LEAST: Duration = Duration::from_secs(3);

/// Announcing addresses.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Load balancers")]
pub(super) struct AnnounceFlags {
    /// Answer ARP and neighbour discovery for addresses of --lb-pool, each on one node
    #[arg(long)]
    announce_lb: bool,

    /// Link to answer on; repeatable [default: those with a network that has addresses of --lb-pool]
    #[arg(long, value_name = "NAME", requires = "announce_lb")]
    announce_interface: Vec<String>,

    /// UDP port on which nodes tell each other that they are there
    #[arg(long, value_name = "PORT", default_value_t = 7475)]
    announce_port: u16,

    /// In a cluster: namespace of the Leases by which one node is chosen for each Service
    #[arg(long, value_name = "NAME", default_value = "kube-system")]
    announce_lease_namespace: String,

    /// In a cluster: how long a Lease lasts. A node that fails is replaced after that
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = duration)]
    announce_lease_duration: Duration,
}

impl AnnounceFlags {
    /// What is wanted, if it is.
    pub(super) fn options(
        &self,
        config: &ProxyConfig,
        origin: Option<&Origin>,
    ) -> Result<Option<AnnounceOptions>, String> {
        if !self.announce_lb {
            return Ok(None);
        }
        if config.balancer_pool.is_empty() {
            return Err("--announce-lb: needs --lb-pool, the addresses to announce".to_owned());
        }
        if self.announce_lease_duration < LEAST {
            let least = LEAST.as_secs();
            return Err(format!(
                "--announce-lease-duration: must be {least}s or longer"
            ));
        }
        let leases = match origin {
            Some(Origin::Kubernetes(kubernetes)) => Some(LeaseOptions {
                access: kubernetes.access.clone(),
                namespace: self.announce_lease_namespace.as_str().into(),
                timing: LeaseTiming {
                    duration: Duration::from_secs(self.announce_lease_duration.as_secs()),
                },
            }),
            _ => None,
        };
        Ok(Some(AnnounceOptions {
            node: config.node_name.clone(),
            pool: config.balancer_pool.clone(),
            interfaces: self.announce_interface.clone(),
            port: self.announce_port,
            timing: Timing::default(),
            leases,
        }))
    }
}

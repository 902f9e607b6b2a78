//! The flags of announcing addresses of load balancers.

use crate::agent::announce::AnnounceOptions;
use crate::announce::Timing;
use crate::config::ProxyConfig;

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
}

impl AnnounceFlags {
    /// What is wanted, if it is.
    pub(super) fn options(&self, config: &ProxyConfig) -> Result<Option<AnnounceOptions>, String> {
        if !self.announce_lb {
            return Ok(None);
        }
        if config.balancer_pool.is_empty() {
            return Err("--announce-lb: needs --lb-pool, the addresses to announce".to_owned());
        }
        Ok(Some(AnnounceOptions {
            node: config.node_name.clone(),
            pool: config.balancer_pool.clone(),
            interfaces: self.announce_interface.clone(),
            port: self.announce_port,
            timing: Timing::default(),
        }))
    }
}

//! What a lab starts of itself: servers in pods and outside.

use super::{Exit, Failure};
use crate::lab::outside::{self, Host};
use crate::lab::pod_server::{self, PodServer};

/// Arguments of `lab serve-pod`.
#[derive(clap::Args, Debug)]
pub(super) struct PodArgs {
    /// Name of the pod
    #[arg(long)]
    pod_name: String,
    /// Name of its node
    #[arg(long)]
    node_name: String,
    /// TCP port; repeatable
    #[arg(long)]
    tcp: Vec<u16>,
    /// UDP port; repeatable
    #[arg(long)]
    udp: Vec<u16>,
}

impl PodArgs {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        pod_server::serve(&PodServer {
            identity: format!("{} on {}", self.pod_name, self.node_name),
            tcp: self.tcp.clone(),
            udp: self.udp.clone(),
        })?;
        Ok(Exit::Done)
    }
}

/// Arguments of `lab serve-outside`.
#[derive(clap::Args, Debug)]
pub(super) struct OutsideArgs {
    /// A name outside and its address; repeatable
    #[arg(long, value_name = "NAME=ADDRESS")]
    host: Vec<Host>,
}

impl OutsideArgs {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        outside::serve(&self.host)?;
        Ok(Exit::Done)
    }
}

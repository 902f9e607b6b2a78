//! How a node's virtual servers are to be: kube-proxy's settings, resolved for one family.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{IpFamily, NodePortAddresses};
use crate::plan::ipvs::Scheduler;
use crate::translate::nftables::NftablesOptions;

/// The settings of one family on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpvsOptions {
    /// Node, masquerading, local traffic, node-port addresses: as in the nftables mode.
    pub rules: NftablesOptions,
    /// The scheduler of Services that name none (`ipvs.scheduler`).
    pub scheduler: Scheduler,
    /// Addresses that are never touched (`ipvs.excludeCIDRs`).
    pub excluded: Vec<IpNet>,
    /// Addresses of this family on links other than the dummy device. External addresses among
    /// them are not put on the dummy device.
    pub local_addresses: BTreeSet<IpAddr>,
}

impl IpvsOptions {
    /// The family.
    #[must_use]
    pub fn family(&self) -> IpFamily {
        self.rules.family
    }

    /// The addresses that node ports answer on: those that are asked for, without loopback and
    /// link-local ones.
    pub(super) fn node_port_addresses(&self) -> Vec<IpAddr> {
        let usable = |address: &IpAddr| match address {
            IpAddr::V4(v4) => !v4.is_loopback(),
            IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
        };
        let all = self.local_addresses.iter().copied().filter(usable);
        match &self.rules.node_port_addresses {
            NodePortAddresses::All => all.collect(),
            NodePortAddresses::Only(some) => all.filter(|ip| some.contains(ip)).collect(),
        }
    }
}

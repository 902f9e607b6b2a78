//! The whole table: the fixed part, then the elements of every service port.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::claims::{self, Conflict};
use super::elements::{element, elements};
use super::fixed;
use super::key::Key;
use super::options::NftablesOptions;
use super::sets::SetId;
use crate::model::{
    IpFamily, NodePortAddresses, ProxiedPort, ServicePortName, Snapshot, choose_endpoints,
    endpoints_of, proxied_ports,
};
use crate::plan::nftables::{COMMENT, ChainDef, NftRuleset, SetDef};
use crate::plan::op::{Element, TableRef};

/// Name of the table.
pub const TABLE: &str = "portolan";

/// The nftables table of one family on one node.
#[derive(Clone, Debug)]
pub struct NftablesRuleset<'a> {
    snapshot: &'a Snapshot,
    options: &'a NftablesOptions,
    conflicts: Vec<Conflict>,
    /// Lengths of source ranges in use, longest first.
    lengths: Vec<u8>,
    /// Affinity timeouts in use, in seconds.
    timeouts: Vec<u32>,
}

impl<'a> NftablesRuleset<'a> {
    /// The table for a snapshot. Settles who owns front ends that are claimed twice, and finds the
    /// source-range lengths and affinity timeouts in use.
    #[must_use]
    pub fn new(snapshot: &'a Snapshot, options: &'a NftablesOptions) -> Self {
        let mut ruleset = Self {
            snapshot,
            options,
            conflicts: claims::conflicts(snapshot, options.family),
            lengths: Vec::new(),
            timeouts: Vec::new(),
        };
        let (mut lengths, mut timeouts) = (BTreeSet::new(), BTreeSet::new());
        for service in snapshot.services.values() {
            for port in proxied_ports(service, options.family) {
                ruleset.visit_port(&port, &mut |set, _| match set {
                    SetId::Sources(length) => {
                        lengths.insert(length);
                    }
                    SetId::AffinityEndpoints(seconds) => {
                        timeouts.insert(seconds);
                    }
                    _ => {}
                });
            }
        }
        ruleset.lengths = lengths.into_iter().rev().collect();
        ruleset.timeouts = timeouts.into_iter().collect();
        ruleset
    }

    /// Front ends that several service ports claim, with the one that has it.
    #[must_use]
    pub fn conflicts(&self) -> &[Conflict] {
        &self.conflicts
    }

    /// Visits the elements of one service port; shared elements (cluster IP, hairpin) may be
    /// another port's as well. Costs time for this Service only.
    pub fn service_port_elements(
        &self,
        name: &ServicePortName,
        visit: &mut dyn FnMut(SetId, Element),
    ) {
        let Some(service) = self.snapshot.services.get(&name.service) else {
            return;
        };
        let ports = proxied_ports(service, self.options.family);
        if let Some(port) = ports.iter().find(|port| port.name == *name) {
            self.visit_port(port, visit);
        }
    }

    fn visit_port(&self, port: &ProxiedPort, visit: &mut dyn FnMut(SetId, Element)) {
        let node = &self.options.node;
        let slices = self.snapshot.slices_of(&port.name.service);
        let endpoints = endpoints_of(port, slices, &node.name);
        let choice = choose_endpoints(port, &endpoints, node);
        let lost = self.conflicts.iter().filter(|c| c.loser == port.name);
        let lost: HashSet<_> = lost.map(|conflict| conflict.front_end).collect();
        elements(port, &choice, self.options, &|f| !lost.contains(f), visit);
    }

    fn configured_elements(&self, visit: &mut dyn FnMut(&str, Element)) {
        if let NodePortAddresses::Only(addresses) = &self.options.node_port_addresses {
            for address in addresses {
                let key = Key::new().address(*address).bytes();
                visit("node-port-addresses", element(key, None, None));
            }
        }
        let cidrs = self.options.service_cidrs.iter();
        let cidrs = cidrs.filter(|cidr| IpFamily::of(cidr.addr()) == self.options.family);
        let cidrs = IpNet::aggregate(&cidrs.copied().collect());
        let zero = super::key::zero(self.options.family);
        if !cidrs.is_empty() && cidrs.iter().all(|cidr| cidr.network() != zero) {
            // As nft does: what lies before the first interval ends an interval.
            let mut end = element(Key::new().address(zero).bytes(), None, None);
            end.interval_end = true;
            visit("service-cidrs", end);
        }
        for cidr in cidrs {
            let start = Key::new().address(cidr.network()).bytes();
            visit("service-cidrs", element(start, None, None));
            if let Some(after) = next_address(cidr.broadcast()) {
                let key = Key::new().address(after).bytes();
                let mut end = element(key, None, None);
                end.interval_end = true;
                visit("service-cidrs", end);
            }
        }
    }
}

impl NftRuleset for NftablesRuleset<'_> {
    fn table(&self) -> TableRef {
        TableRef {
            family: self.options.family,
            name: TABLE.into(),
        }
    }

    fn comment(&self) -> &str {
        COMMENT
    }

    fn sets(&self) -> Vec<SetDef> {
        let variable = self.lengths.iter().map(|length| SetId::Sources(*length));
        let timeouts = self.timeouts.iter().map(|t| SetId::AffinityEndpoints(*t));
        let all = SetId::FIXED.into_iter().chain(variable).chain(timeouts);
        all.map(|set| set.definition(self.options.family)).collect()
    }

    fn chains(&self) -> Vec<ChainDef> {
        fixed::chains(self.options, &self.lengths, &self.timeouts)
    }

    fn for_each_element(&self, visit: &mut dyn FnMut(&str, Element)) {
        self.configured_elements(visit);
        // Only these two can be several ports'.
        let mut shared: HashSet<(SetId, Box<[u8]>)> = HashSet::new();
        for service in self.snapshot.services.values() {
            for port in proxied_ports(service, self.options.family) {
                self.visit_port(&port, &mut |set, element| {
                    let may_repeat = matches!(set, SetId::ClusterIps | SetId::Hairpin);
                    if !may_repeat || shared.insert((set, element.key.clone())) {
                        visit(&set.name(), element);
                    }
                });
            }
        }
    }
}

/// The address after, `None` after the last.
fn next_address(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => v4.to_bits().checked_add(1).map(|n| IpAddr::V4(n.into())),
        IpAddr::V6(v6) => v6.to_bits().checked_add(1).map(|n| IpAddr::V6(n.into())),
    }
}

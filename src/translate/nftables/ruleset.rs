//! The whole table: the fixed part, then the elements of every service port.

use std::collections::{BTreeSet, HashSet};

use super::claims::{Claims, Conflict};
use super::elements::{ElementNames, Held, held};
use super::options::NftablesOptions;
use super::sets::SetId;
use super::{configured, fixed};
use crate::model::{
    IpFamily, NamespacedName, ProxiedPort, ServicePortName, Snapshot, choose_endpoints,
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
    claims: Claims,
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
            claims: Claims::of(snapshot.services.values(), options.family),
            conflicts: Vec::new(),
            lengths: Vec::new(),
            timeouts: Vec::new(),
        };
        ruleset.conflicts = ruleset.find_conflicts();
        let (mut lengths, mut timeouts) = (BTreeSet::new(), BTreeSet::new());
        for service in snapshot.services.values() {
            for (index, port) in numbered_ports(snapshot, &service.name, options.family) {
                ruleset.visit_port(index, &port, &mut |held| match held {
                    Held::Element { set, .. } => {
                        note_value(set, &mut lengths, &mut timeouts);
                    }
                    Held::List { .. } => {}
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
        let ports = numbered_ports(self.snapshot, &name.service, self.options.family);
        if let Some((index, port)) = ports.iter().find(|(_, port)| port.name == *name) {
            self.port_elements(*index, port, visit);
        }
    }

    fn find_conflicts(&self) -> Vec<Conflict> {
        let name = |service: &NamespacedName, index: u16| {
            let ports = &self.snapshot.services.get(service)?.ports;
            let port = ports.get(usize::from(index))?;
            Some(ServicePortName {
                service: service.clone(),
                port: port.name.clone(),
                protocol: port.protocol,
            })
        };
        let contested = self.claims.contested();
        let conflicts = contested.filter_map(|(front_end, owner, loser)| {
            Some(Conflict {
                front_end,
                owner: name(&owner.service, owner.port)?,
                loser: name(&loser.service, loser.port)?,
            })
        });
        conflicts.collect()
    }

    fn visit_port(&self, index: u16, port: &ProxiedPort, visit: &mut dyn FnMut(Held<'_>)) {
        held_by(
            self.snapshot,
            self.options,
            &self.claims,
            index,
            port,
            visit,
        );
    }

    fn port_elements(&self, index: u16, port: &ProxiedPort, visit: &mut dyn FnMut(SetId, Element)) {
        let names = ElementNames::new(&port.name.service, &port.name);
        self.visit_port(index, port, &mut |held| {
            held.elements(self.options.family, &names, visit);
        });
    }
}

/// The ports of a Service that get elements, with their number in `spec.ports`.
pub(super) fn numbered_ports(
    snapshot: &Snapshot,
    service: &NamespacedName,
    family: IpFamily,
) -> Vec<(u16, ProxiedPort)> {
    let service = snapshot.services.get(service);
    let ports = service.map(|service| proxied_ports(service, family));
    (0..u16::MAX).zip(ports.into_iter().flatten()).collect()
}

/// Visits what a service port holds.
pub(super) fn held_by(
    snapshot: &Snapshot,
    options: &NftablesOptions,
    claims: &Claims,
    index: u16,
    port: &ProxiedPort,
    visit: &mut dyn FnMut(Held<'_>),
) {
    let service = &port.name.service;
    let endpoints = endpoints_of(port, snapshot.slices_of(service), &options.node.name);
    let choice = choose_endpoints(port, &endpoints, &options.node);
    let owns = |front_end: &_| claims.owns(service, index, front_end);
    held(port, &choice, options, &owns, visit);
}

/// Notes the value that a variable set is there for.
fn note_value(set: SetId, lengths: &mut BTreeSet<u8>, timeouts: &mut BTreeSet<u32>) {
    match set {
        SetId::Sources(length) => {
            lengths.insert(length);
        }
        SetId::AffinityEndpoints(seconds) => {
            timeouts.insert(seconds);
        }
        _ => {}
    }
}

/// The sets of a table with these values in use.
pub(super) fn sets(family: IpFamily, lengths: &[u8], timeouts: &[u32]) -> Vec<SetDef> {
    let lengths = lengths.iter().map(|length| SetId::Sources(*length));
    let timeouts = timeouts.iter().map(|t| SetId::AffinityEndpoints(*t));
    let all = SetId::FIXED.into_iter().chain(lengths).chain(timeouts);
    all.map(|set| set.definition(family)).collect()
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
        sets(self.options.family, &self.lengths, &self.timeouts)
    }

    fn chains(&self) -> Vec<ChainDef> {
        fixed::chains(self.options, &self.lengths, &self.timeouts)
    }

    fn for_each_element(&self, visit: &mut dyn FnMut(&str, Element)) {
        configured::elements(self.options, &mut |set, element| {
            visit(&set.name(), element);
        });
        let mut shared: HashSet<(SetId, Box<[u8]>)> = HashSet::new();
        for service in self.snapshot.services.keys() {
            for (index, port) in numbered_ports(self.snapshot, service, self.options.family) {
                self.port_elements(index, &port, &mut |set, element| {
                    if !set.is_shared() || shared.insert((set, element.key.clone())) {
                        visit(&set.name(), element);
                    }
                });
            }
        }
    }
}

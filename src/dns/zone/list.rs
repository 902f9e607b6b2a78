//! Every record there is: for people, and for zone transfers.

use std::collections::{BTreeSet, HashSet};

use hickory_proto::rr::rdata::{CNAME, PTR};
use hickory_proto::rr::{Name, RData, Record};

use super::Zone;
use super::answer::under;
use super::entry::{Entry, Kind, Port, Target};
use super::forward_names::address_data;
use super::srv::{endpoint_name, service_name, weight};

/// Every record of the cluster domain, in the order of a zone transfer without the SOA at its end:
/// SOA, NS and its addresses, then each Service by name. Pod names and PTR records are left out.
#[must_use]
pub fn listed(zone: &Zone) -> Vec<Record> {
    let domain = &zone.options.domain;
    let mut records = vec![zone.soa(domain.clone())];
    let servers = zone.name_servers(domain, domain);
    records.extend(servers.answers);
    records.extend(servers.additionals);
    for entry in zone.sorted() {
        zone.list(entry, &mut records);
    }
    records
}

/// PTR records for the addresses of cluster IPs and endpoints, by address.
#[must_use]
pub fn listed_addresses(zone: &Zone) -> Vec<Record> {
    let mut addresses: Vec<_> = zone.addresses.keys().copied().collect();
    addresses.sort_unstable();
    addresses
        .into_iter()
        .flat_map(|address| {
            let names = zone.names_of(address).into_iter();
            names.map(move |name| zone.record(Name::from(address), RData::PTR(PTR(name))))
        })
        .collect()
}

impl Zone {
    fn list(&self, entry: &Entry, records: &mut Vec<Record>) {
        let zone = &self.options.domain;
        let name = service_name(entry, zone);
        match &entry.kind {
            Kind::ClusterIp { addresses, ports } => {
                for address in addresses {
                    records.push(self.record(name.clone(), address_data(*address)));
                }
                for port in ports.iter().filter(|_| !addresses.is_empty()) {
                    let owners = std::iter::once(name.clone()).chain(port_name(port, &name));
                    let srv = |owner: Name| self.srv(&owner, 100, port.number, name.clone());
                    records.extend(owners.map(srv));
                }
            }
            Kind::Headless => self.list_endpoints(entry, &name, records),
            Kind::ExternalName(target) => {
                let data = RData::CNAME(CNAME(target.clone()));
                records.push(self.record(name, data));
            }
            Kind::Nothing => {}
        }
    }

    fn list_endpoints(&self, entry: &Entry, name: &Name, records: &mut Vec<Record>) {
        let endpoints = || entry.endpoints.iter().flatten();
        let named = |target: &Target| {
            let ports = entry.ports_of(target).iter();
            ports.filter(|port| !port.name.is_empty()).count()
        };
        let weight = weight(endpoints().map(named).sum());
        let mut addresses = HashSet::new();
        let mut ports = BTreeSet::new();
        for target in endpoints() {
            let own = endpoint_name(entry, target, &self.options.domain);
            if addresses.insert((&target.label, target.address)) {
                for owner in [name, &own] {
                    records.push(self.record(owner.clone(), address_data(target.address)));
                }
            }
            for port in entry.ports_of(target) {
                let Some(owner) = port_name(port, name) else {
                    continue;
                };
                if ports.insert((owner.clone(), &target.label, port.number)) {
                    records.push(self.srv(&owner, weight, port.number, own.clone()));
                }
            }
        }
    }
}

/// `_PORT._PROTOCOL.SERVICE…`, for a port with a name.
fn port_name(port: &Port, service: &Name) -> Option<Name> {
    if port.name.is_empty() {
        return None;
    }
    let (name, protocol) = (
        format!("_{}", port.name),
        format!("_{}", port.protocol.lower()),
    );
    Some(under(&[&name, &protocol], service))
}

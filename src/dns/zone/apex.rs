//! The zone itself: its SOA and NS records, and the server's own name.

use std::collections::BTreeSet;
use std::net::IpAddr;

use hickory_proto::rr::rdata::NS;
use hickory_proto::rr::{Name, RData, RecordType};

use super::Zone;
use super::answer::{Answer, Ask, under};
use super::entry::{Entry, Kind};
use super::forward_names::address_data;
use super::srv::{endpoint_name, service_name};

impl Zone {
    pub(super) fn apex(&self, ask: Ask<'_>) -> Answer {
        match ask.kind {
            RecordType::SOA => Answer::of(vec![self.soa(ask.name.clone())]),
            RecordType::NS => self.name_servers(ask.name, ask.name),
            _ => self.no_data(ask),
        }
    }

    /// NS records with the addresses of their names. `zone` is the cluster domain.
    pub(super) fn name_servers(&self, owner: &Name, zone: &Name) -> Answer {
        let servers = self.servers(zone);
        let names: BTreeSet<&Name> = servers.iter().map(|(name, _)| name).collect();
        let answers = names
            .into_iter()
            .map(|name| self.record(owner.clone(), RData::NS(NS(name.clone()))))
            .collect();
        let additionals = servers
            .iter()
            .map(|(name, address)| self.record(name.clone(), address_data(*address)))
            .collect();
        let mut answer = Answer {
            additionals,
            ..Answer::of(answers)
        };
        if answer.answers.is_empty() {
            let name = under(&["ns", "dns"], zone);
            answer
                .answers
                .push(self.record(owner.clone(), RData::NS(NS(name))));
        }
        answer
    }

    /// `ns.dns.ZONE`: the addresses the server is bound to.
    pub(super) fn nameserver(&self, ask: Ask<'_>) -> Answer {
        let addresses = self.options.server_addresses.iter().copied();
        self.records(ask, self.addresses_of(ask, addresses))
    }

    /// Names and addresses of this server: of the Services it is behind, if it is.
    fn servers(&self, zone: &Name) -> Vec<(Name, IpAddr)> {
        let mut servers = BTreeSet::new();
        for address in &self.options.server_addresses {
            let services = self.addresses.get(address).into_iter().flatten();
            for entry in services.filter_map(|service| self.entry_of(service)) {
                servers.extend(names_of(entry, *address, zone));
            }
        }
        if servers.is_empty() {
            let name = under(&["ns", "dns"], zone);
            let own = self.options.server_addresses.iter();
            servers.extend(own.map(|address| (name.clone(), *address)));
        }
        servers.into_iter().collect()
    }
}

/// What a server with this address is called, as cluster IP or as an endpoint.
fn names_of(entry: &Entry, address: IpAddr, zone: &Name) -> Vec<(Name, IpAddr)> {
    match &entry.kind {
        Kind::ClusterIp { addresses, .. } => {
            let name = service_name(entry, zone);
            addresses.iter().map(|vip| (name.clone(), *vip)).collect()
        }
        _ => entry
            .endpoints
            .iter()
            .flatten()
            .filter(|target| target.address == address)
            .map(|target| (endpoint_name(entry, target, zone), address))
            .collect(),
    }
}

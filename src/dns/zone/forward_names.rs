//! Names of Services and of what is below them.

use std::collections::HashSet;
use std::net::IpAddr;

use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::Zone;
use super::answer::{Answer, Ask, Code};
use super::entry::{Entry, Kind, Targets};
use super::question::{self, Below, Meaning};
use super::srv::Filter;

/// Most aliases followed within the zone.
const MOST_ALIASES: usize = 10;

impl Zone {
    /// The Service's own name.
    pub(super) fn service(&self, ask: Ask<'_>, entry: &Entry) -> Answer {
        match &entry.kind {
            Kind::ClusterIp { addresses, .. } => match ask.kind {
                RecordType::A | RecordType::AAAA => {
                    let addresses = addresses.iter().copied();
                    self.records(ask, self.addresses_of(ask, addresses))
                }
                RecordType::SRV => self.cluster_ip_srv(ask, entry, Filter::All),
                _ => self.no_data(ask),
            },
            Kind::Headless if entry.has_no_endpoints() => self.no_name(ask),
            Kind::Headless => self.of_targets(ask, entry, entry.targets(), Filter::All),
            Kind::ExternalName(target) => self.alias(ask, target),
            Kind::Nothing => self.no_name(ask),
        }
    }

    /// `LABEL.SERVICE`.
    pub(super) fn endpoint(&self, ask: Ask<'_>, entry: &Entry, label: &[u8]) -> Answer {
        let targets = entry.labelled(label);
        if targets.iter().any(|targets| !targets.is_empty()) {
            return self.of_targets(ask, entry, targets, Filter::All);
        }
        // `_tcp` is on the way to `_http._tcp`: it exists if that does.
        let leads_to_port = label.strip_prefix(b"_").is_some_and(|protocol| {
            let mut named = entry.all_ports().filter(|port| !port.name.is_empty());
            named.any(|port| protocol.eq_ignore_ascii_case(port.protocol.lower().as_bytes()))
        });
        if leads_to_port {
            self.no_data(ask)
        } else {
            self.no_name(ask)
        }
    }

    /// `_PORT._PROTOCOL.SERVICE`.
    pub(super) fn port(&self, ask: Ask<'_>, entry: &Entry, port: &[u8], protocol: &[u8]) -> Answer {
        if !entry.all_ports().any(|known| known.is(port, protocol)) {
            return self.no_name(ask);
        }
        let filter = Filter::Named { port, protocol };
        match (&entry.kind, ask.kind) {
            (Kind::ClusterIp { .. }, RecordType::SRV) => self.cluster_ip_srv(ask, entry, filter),
            (Kind::Headless, _) => self.of_targets(ask, entry, entry.targets(), filter),
            _ => self.service(ask, entry),
        }
    }

    /// Some endpoints of a Service.
    pub(super) fn of_targets(
        &self,
        ask: Ask<'_>,
        entry: &Entry,
        targets: Targets<'_>,
        filter: Filter<'_>,
    ) -> Answer {
        let family = match ask.kind {
            RecordType::A => 0,
            RecordType::AAAA => 1,
            RecordType::SRV => return self.endpoints_srv(ask, entry, targets, filter),
            _ => return self.no_data(ask),
        };
        let targets = targets[family];
        let rotated = rotated(targets, ask.rotation);
        let rotated = rotated.filter(|target| filter.lets_any(entry.ports_of(target)));
        let addresses = rotated.map(|target| target.address);
        // An address is there more than once only if it is in slices with other ports.
        let answers = if entry.port_sets.len() > 1 {
            let mut seen = HashSet::new();
            self.addresses_of(ask, addresses.filter(|address| seen.insert(*address)))
        } else {
            self.addresses_of(ask, addresses)
        };
        self.records(ask, answers)
    }

    /// A or AAAA records of those addresses that are of the family asked for.
    pub(super) fn addresses_of(
        &self,
        ask: Ask<'_>,
        addresses: impl Iterator<Item = IpAddr>,
    ) -> Vec<Record> {
        let wanted = addresses.filter(|address| match ask.kind {
            RecordType::A => address.is_ipv4(),
            RecordType::AAAA => address.is_ipv6(),
            _ => false,
        });
        wanted
            .take(ask.most)
            .map(|address| self.record(ask.name.clone(), address_data(address)))
            .collect()
    }

    /// A name that stands for another.
    fn alias(&self, ask: Ask<'_>, target: &Name) -> Answer {
        let wants_addresses = matches!(ask.kind, RecordType::A | RecordType::AAAA);
        if !wants_addresses && ask.kind != RecordType::CNAME {
            return self.no_data(ask);
        }
        let mut answer = Answer::of(vec![self.cname(ask.name, target)]);
        if !wants_addresses {
            return answer;
        }
        let mut target = target.clone();
        for _ in 0..MOST_ALIASES {
            let Some(rest) = question::rest(&target, &self.domain) else {
                answer.follow = Some(target);
                return answer;
            };
            let meaning = rest.meaning();
            if let Some(next) = self.external_name(meaning) {
                answer.answers.push(self.cname(&target, next));
                let next = next.clone();
                target = next;
                continue;
            }
            let ask = Ask {
                name: &target,
                ..ask
            };
            let end = self.in_domain(ask, meaning);
            if end.code == Code::NoError {
                answer.answers.extend(end.answers);
            }
            return answer;
        }
        // A circle: as far as it goes, there are no addresses.
        answer.answers.truncate(1);
        answer
    }

    fn cname(&self, name: &Name, target: &Name) -> Record {
        self.record(name.clone(), RData::CNAME(CNAME(target.clone())))
    }

    fn external_name(&self, meaning: Meaning<'_>) -> Option<&Name> {
        let Meaning::Service {
            service,
            namespace,
            below: Below::Itself,
        } = meaning
        else {
            return None;
        };
        match &self.entry(service, namespace)?.kind {
            Kind::ExternalName(target) => Some(target),
            _ => None,
        }
    }
}

/// A or AAAA.
pub(super) fn address_data(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    }
}

/// A list from somewhere on, and then what is before that.
pub(super) fn rotated<T>(list: &[T], rotation: usize) -> impl Iterator<Item = &T> {
    let (before, after) = list.split_at(rotation.checked_rem(list.len()).unwrap_or(0));
    after.iter().chain(before)
}

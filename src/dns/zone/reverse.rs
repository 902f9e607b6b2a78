//! From addresses to names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::rdata::PTR;
use hickory_proto::rr::{Name, RData, RecordType};
use ipnet::IpNet;

use super::Zone;
use super::answer::{Answer, Ask, Code};
use super::entry::{Entry, Kind};
use super::options::ReverseZones;
use super::srv::{endpoint_name, service_name};
use crate::model::NamespacedName;

/// A name under `in-addr.arpa` or `ip6.arpa`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reverse {
    /// Of an address.
    Address(IpAddr),
    /// Of a network: on the way to addresses.
    Network(IpNet),
    /// Neither; it is in this network's zone.
    Other(IpNet),
}

impl Zone {
    /// The answer to a question about an address; `None` if it is not ours to answer.
    pub(super) fn reverse_answer(&self, ask: Ask<'_>) -> Option<Answer> {
        let reverse = parse(ask.name)?;
        let network = match reverse {
            Reverse::Address(address) => IpNet::from(address),
            Reverse::Network(network) | Reverse::Other(network) => network,
        };
        let zone_labels = self.reverse_zone(network, ask.name)?;
        let names = match reverse {
            Reverse::Address(address) => self.names_of(address),
            _ => Vec::new(),
        };
        let Some(zone_labels) = zone_labels else {
            // Somebody else may know it.
            return (!names.is_empty()).then(|| self.pointers(ask, names, None));
        };
        let zone = ask.name.trim_to(zone_labels);
        let is_apex = usize::from(ask.name.num_labels()) == zone_labels;
        let no_data = Answer {
            authorities: vec![self.soa(zone.clone())],
            ..Answer::default()
        };
        Some(match (reverse, ask.kind) {
            (_, RecordType::SOA) if is_apex => Answer::of(vec![self.soa(zone)]),
            (_, RecordType::NS) if is_apex => self.name_servers(ask.name, &self.options.domain),
            (Reverse::Network(_), _) => no_data,
            _ if names.is_empty() => Answer {
                code: Code::NxDomain,
                ..no_data
            },
            _ => self.pointers(ask, names, Some(no_data)),
        })
    }

    /// PTR records; for other types that there are none.
    fn pointers(&self, ask: Ask<'_>, names: Vec<Name>, no_data: Option<Answer>) -> Answer {
        if ask.kind != RecordType::PTR {
            return no_data.unwrap_or_else(|| Answer {
                authorities: vec![self.soa(ask.name.clone())],
                ..Answer::default()
            });
        }
        let record = |name| self.record(ask.name.clone(), RData::PTR(PTR(name)));
        Answer::of(names.into_iter().take(ask.most).map(record).collect())
    }

    /// How many labels the zone of ours has that a network is in. `Some(None)` where all addresses
    /// are answered, but none with authority; `None` if it is in none.
    fn reverse_zone(&self, network: IpNet, name: &Name) -> Option<Option<usize>> {
        let zones = match &self.options.reverse {
            ReverseZones::Any => return Some(None),
            ReverseZones::Networks(zones) => zones,
        };
        let within = zones.iter().find(|zone| zone.contains(&network))?;
        // The zone is cut at the next whole label within the network.
        let (bits, fixed) = match within {
            IpNet::V4(_) => (8, 2),
            IpNet::V6(_) => (4, 2),
        };
        let labels = usize::from(within.prefix_len()).div_ceil(bits) + fixed;
        Some(Some(labels.min(usize::from(name.num_labels()))))
    }

    /// The names of an address: the first Service that has it as its cluster IP, or all endpoints.
    pub(super) fn names_of(&self, address: IpAddr) -> Vec<Name> {
        let zone = &self.options.domain;
        let services: &[NamespacedName] = self.addresses.get(&address).map_or(&[], Vec::as_slice);
        let entries = || services.iter().filter_map(|name| self.entry_of(name));
        if let Some(entry) = entries().find(|entry| has_cluster_ip(entry, address)) {
            return vec![service_name(entry, zone)];
        }
        let mut names: Vec<Name> = entries()
            .flat_map(|entry| {
                let endpoints = entry.endpoints.iter().flatten();
                let here = endpoints.filter(|target| target.address == address);
                here.map(|target| endpoint_name(entry, target, zone))
            })
            .collect();
        names.dedup();
        names
    }
}

pub(super) fn has_cluster_ip(entry: &Entry, address: IpAddr) -> bool {
    matches!(&entry.kind, Kind::ClusterIp { addresses, .. } if addresses.contains(&address))
}

fn parse(name: &Name) -> Option<Reverse> {
    let mut labels = name.iter().rev();
    if !labels.next()?.eq_ignore_ascii_case(b"arpa") {
        return None;
    }
    let family = labels.next()?;
    if family.eq_ignore_ascii_case(b"in-addr") {
        Some(parse_v4(labels))
    } else if family.eq_ignore_ascii_case(b"ip6") {
        Some(parse_v6(labels))
    } else {
        None
    }
}

fn parse_v4<'n>(labels: impl Iterator<Item = &'n [u8]>) -> Reverse {
    let mut bytes = [0_u8; 4];
    let mut count: u8 = 0;
    let network =
        |bytes: [u8; 4], count: u8| IpNet::new_assert(Ipv4Addr::from(bytes).into(), count * 8);
    for label in labels {
        let text = std::str::from_utf8(label).ok();
        // A leading zero or a sign is another name than that of the address.
        let number =
            text.and_then(|text| text.parse::<u8>().ok().filter(|n| n.to_string() == text));
        match (bytes.get_mut(usize::from(count)), number) {
            (Some(byte), Some(number)) => *byte = number,
            _ => return Reverse::Other(network(bytes, count)),
        }
        count += 1;
    }
    if count == 4 {
        Reverse::Address(Ipv4Addr::from(bytes).into())
    } else {
        Reverse::Network(network(bytes, count))
    }
}

fn parse_v6<'n>(labels: impl Iterator<Item = &'n [u8]>) -> Reverse {
    let mut bits: u128 = 0;
    let mut count: u8 = 0;
    let network =
        |bits: u128, count: u8| IpNet::new_assert(Ipv6Addr::from_bits(bits).into(), count * 4);
    for label in labels {
        let digit = match label {
            [digit] => char::from(*digit).to_digit(16),
            _ => None,
        };
        match digit {
            Some(digit) if count < 32 => {
                bits |= u128::from(digit) << (124 - 4 * u32::from(count));
            }
            _ => return Reverse::Other(network(bits, count)),
        }
        count += 1;
    }
    if count == 32 {
        Reverse::Address(Ipv6Addr::from_bits(bits).into())
    } else {
        Reverse::Network(network(bits, count))
    }
}

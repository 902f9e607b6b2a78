//! SRV records: which ports there are, and under which names.

use std::collections::HashSet;

use hickory_proto::rr::rdata::SRV;
use hickory_proto::rr::{Name, RData, Record};

use super::Zone;
use super::answer::{Answer, Ask, under};
use super::entry::{Entry, Kind, Port, Target, Targets};
use super::forward_names::{address_data, rotated};

/// Which ports are meant.
#[derive(Clone, Copy, Debug)]
pub(super) enum Filter<'q> {
    /// Every one, also without a name.
    All,
    /// `_port._protocol`.
    Named { port: &'q [u8], protocol: &'q [u8] },
}

impl Filter<'_> {
    fn lets(&self, candidate: &Port) -> bool {
        match self {
            Self::All => true,
            Self::Named { port, protocol } => candidate.is(port, protocol),
        }
    }

    /// Endpoints without a port count where no port is asked for.
    pub(super) fn lets_any(&self, candidates: &[Port]) -> bool {
        match self {
            Self::All => true,
            Self::Named { .. } => candidates.iter().any(|port| self.lets(port)),
        }
    }
}

impl Zone {
    /// The ports of a cluster IP. As CoreDNS has it, each address is a candidate of its own: it
    /// shows in the weight.
    pub(super) fn cluster_ip_srv(&self, ask: Ask<'_>, entry: &Entry, filter: Filter<'_>) -> Answer {
        let Kind::ClusterIp { addresses, ports } = &entry.kind else {
            return self.no_data(ask);
        };
        let ports: Vec<&Port> = ports.iter().filter(|port| filter.lets(port)).collect();
        if ports.is_empty() || addresses.is_empty() {
            return self.no_data(ask);
        }
        let zone = self.zone_as_asked(ask.name);
        let target = service_name(entry, &zone);
        let weight = weight(ports.len() * addresses.len());
        let mut numbers = HashSet::new();
        let ports = ports.iter().filter(|port| numbers.insert(port.number));
        let answers = ports
            .map(|port| self.srv(ask.name, weight, port.number, target.clone()))
            .collect();
        let additionals = addresses
            .iter()
            .map(|address| self.record(target.clone(), address_data(*address)))
            .collect();
        Answer {
            additionals,
            ..Answer::of(answers)
        }
    }

    /// The ports of endpoints.
    pub(super) fn endpoints_srv(
        &self,
        ask: Ask<'_>,
        entry: &Entry,
        targets: Targets<'_>,
        filter: Filter<'_>,
    ) -> Answer {
        let matching = |target: &Target| {
            let ports = entry.ports_of(target).iter();
            ports.filter(|port| filter.lets(port)).count()
        };
        let candidates = targets.iter().copied().flatten().map(matching).sum();
        if candidates == 0 {
            return self.no_data(ask);
        }
        let weight = weight(candidates);
        let zone = self.zone_as_asked(ask.name);
        let mut said = HashSet::new();
        let mut addresses = HashSet::new();
        let mut answer = Answer::default();
        for target in targets
            .into_iter()
            .flat_map(|targets| rotated(targets, ask.rotation))
        {
            if answer.answers.len() >= ask.most {
                break;
            }
            let ports = entry.ports_of(target).iter();
            let mut ports = ports.filter(|port| filter.lets(port)).peekable();
            if ports.peek().is_none() {
                continue;
            }
            let name = endpoint_name(entry, target, &zone);
            if addresses.insert((&target.label, target.address)) {
                let data = address_data(target.address);
                answer.additionals.push(self.record(name.clone(), data));
            }
            for port in ports {
                if said.insert((&target.label, port.number)) {
                    let record = self.srv(ask.name, weight, port.number, name.clone());
                    answer.answers.push(record);
                }
            }
        }
        answer
    }

    pub(super) fn srv(&self, owner: &Name, weight: u16, port: u16, target: Name) -> Record {
        self.record(owner.clone(), RData::SRV(SRV::new(0, weight, port, target)))
    }
}

/// A share of 100, at least 1.
pub(super) fn weight(candidates: usize) -> u16 {
    let share = 100_usize.checked_div(candidates).unwrap_or(100).max(1);
    u16::try_from(share).unwrap_or(1)
}

/// `SERVICE.NAMESPACE.svc.ZONE`.
pub(super) fn service_name(entry: &Entry, zone: &Name) -> Name {
    let service = &entry.service;
    under(&[&service.name, &service.namespace, "svc"], zone)
}

/// `LABEL.SERVICE.NAMESPACE.svc.ZONE`.
pub(super) fn endpoint_name(entry: &Entry, target: &Target, zone: &Name) -> Name {
    let service = &entry.service;
    under(
        &[&target.label, &service.name, &service.namespace, "svc"],
        zone,
    )
}

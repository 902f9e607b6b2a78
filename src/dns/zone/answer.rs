//! What is said about a name, and about names that are not there.

use hickory_proto::rr::rdata::{SOA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::Zone;
use super::entry::{Entry, Kind};
use super::question::{self, Below, Meaning};

/// The schema that names and records follow.
const SCHEMA: &str = "1.1.0";
/// Time to live of the schema's version, in seconds.
const SCHEMA_TTL: u32 = 28_800;
/// Most seconds that a negative answer is to be remembered, whatever the TTL of records.
const MOST_NEGATIVE_TTL: u32 = 300;

/// A question.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'q> {
    /// The name asked for, absolute.
    pub name: &'q Name,
    /// The type asked for.
    pub kind: RecordType,
    /// Where in a list of records to begin: lists are rotated by this.
    pub rotation: usize,
    /// Most records wanted of one list; one more tells the encoder that some are missing.
    pub most: usize,
}

/// Whether the name exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Code {
    /// It does, perhaps without records of the type.
    #[default]
    NoError,
    /// It does not.
    NxDomain,
}

/// An answer, with authority.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Whether the name exists.
    pub code: Code,
    /// What was asked for, behind the aliases that lead there.
    pub answers: Vec<Record>,
    /// The zone's SOA where there is no answer.
    pub authorities: Vec<Record>,
    /// Addresses of names in the answers.
    pub additionals: Vec<Record>,
    /// A name outside of the zone that the last alias stands for: its records of the type asked
    /// for belong behind it.
    pub follow: Option<Name>,
}

impl Answer {
    pub(super) fn of(answers: Vec<Record>) -> Self {
        Self {
            answers,
            ..Self::default()
        }
    }
}

impl Zone {
    /// The answer to a question; `None` if the name is not of this zone.
    #[must_use]
    pub fn answer(&self, ask: Ask<'_>) -> Option<Answer> {
        match question::rest(ask.name, &self.domain) {
            Some(rest) => {
                let zonal = self.options.zonal.then(|| self.zonal(ask, &rest));
                let zonal = zonal.flatten();
                Some(zonal.unwrap_or_else(|| self.in_domain(ask, rest.meaning())))
            }
            None => self.reverse_answer(ask),
        }
    }

    pub(super) fn in_domain(&self, ask: Ask<'_>, meaning: Meaning<'_>) -> Answer {
        match meaning {
            Meaning::Apex => self.apex(ask),
            Meaning::Category | Meaning::AboveNameserver => self.no_data(ask),
            Meaning::Version => self.version(ask),
            Meaning::Nameserver => self.nameserver(ask),
            Meaning::Namespace(namespace) if self.has_namespace(namespace) => self.no_data(ask),
            Meaning::Namespace(_) | Meaning::Nothing => self.no_name(ask),
            Meaning::Pod { pod, namespace } => self.pod(ask, pod, namespace),
            Meaning::Service {
                service,
                namespace,
                below,
            } => self.service_name(ask, service, namespace, below),
        }
    }

    fn service_name(
        &self,
        ask: Ask<'_>,
        service: &[u8],
        namespace: &[u8],
        below: Below<'_>,
    ) -> Answer {
        let entry = self.entry(service, namespace);
        match entry.filter(|entry| !self.is_ignored(entry)) {
            None => self.no_name(ask),
            Some(entry) => match below {
                Below::Itself => self.service(ask, entry),
                Below::Endpoint(label) => self.endpoint(ask, entry, label),
                Below::Port { port, protocol } => self.port(ask, entry, port, protocol),
            },
        }
    }

    /// Nobody is behind its cluster IP, and that is to mean that it is not there.
    fn is_ignored(&self, entry: &Entry) -> bool {
        self.options.ignore_empty_service
            && matches!(entry.kind, Kind::ClusterIp { .. })
            && entry.has_no_endpoints()
    }

    fn version(&self, ask: Ask<'_>) -> Answer {
        if ask.kind != RecordType::TXT {
            return self.no_data(ask);
        }
        let text = RData::TXT(TXT::new(vec![SCHEMA.to_owned()]));
        Answer::of(vec![Record::from_rdata(ask.name.clone(), SCHEMA_TTL, text)])
    }

    /// The records, or that there are none of the type.
    pub(super) fn records(&self, ask: Ask<'_>, answers: Vec<Record>) -> Answer {
        if answers.is_empty() {
            self.no_data(ask)
        } else {
            Answer::of(answers)
        }
    }

    /// The name exists, and has no such records.
    pub(super) fn no_data(&self, ask: Ask<'_>) -> Answer {
        Answer {
            authorities: vec![self.soa(self.zone_as_asked(ask.name))],
            ..Answer::default()
        }
    }

    /// The name does not exist.
    pub(super) fn no_name(&self, ask: Ask<'_>) -> Answer {
        Answer {
            code: Code::NxDomain,
            ..self.no_data(ask)
        }
    }

    /// A record of this zone.
    pub(super) fn record(&self, name: Name, data: RData) -> Record {
        Record::from_rdata(name, self.options.ttl, data)
    }

    /// The name of the zone, in the case that the question has it.
    pub(super) fn zone_as_asked(&self, name: &Name) -> Name {
        name.trim_to(self.domain.len())
    }

    /// The SOA record of a zone of ours.
    pub(super) fn soa(&self, zone: Name) -> Record {
        let under = |labels: &[&str]| under(labels, &zone);
        let soa = SOA::new(
            under(&["ns", "dns"]),
            under(&["hostmaster"]),
            self.serial,
            7200,
            1800,
            86_400,
            self.options.ttl,
        );
        let ttl = self.options.ttl.min(MOST_NEGATIVE_TTL);
        Record::from_rdata(zone, ttl, RData::SOA(soa))
    }
}

/// A name below a zone. Labels are those of valid objects; one that does not fit is left out.
pub(super) fn under(labels: &[&str], zone: &Name) -> Name {
    let start = labels.iter().try_fold(Name::new(), |name, label| {
        name.append_label(label.as_bytes())
    });
    let name = start.and_then(|name| name.append_domain(zone));
    name.unwrap_or_else(|_| zone.clone())
}

//! Finishing a pod's search: what its resolver would ask for next, answered at once.
//!
//! A pod's resolver tries a name below `NAMESPACE.svc.ZONE`, `svc.ZONE`, `ZONE`, the node's own
//! domains and at last as it is: five questions and more for a name of the world. The first of them
//! tells the whole search.

use std::net::IpAddr;

use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::Zone;
use super::answer::{Answer, Ask, Code};

/// What a search comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Searched {
    /// A name of the zone was found.
    Here(Answer),
    /// None was: these are to be asked of upstream, in this order.
    Elsewhere {
        /// The answer if nobody knows any of them: the client goes on by itself.
        unknown: Answer,
        /// Names that are not of the zone.
        candidates: Vec<Name>,
    },
}

impl Zone {
    /// Searches on behalf of a pod with this address. `domains` are those that its node searches.
    /// `None` where there is nothing to be searched: the question is to be answered as it is.
    #[must_use]
    pub fn search(&self, ask: Ask<'_>, client: IpAddr, domains: &[Name]) -> Option<Searched> {
        if !matches!(ask.kind, RecordType::A | RecordType::AAAA) {
            return None;
        }
        let base = self.base(ask.name, client)?;
        let unknown = self.answer(ask).filter(|a| a.code == Code::NxDomain)?;
        let domain = &self.options.domain;
        let svc = Name::from_ascii("svc").ok()?.append_domain(domain).ok()?;
        let root = Name::root();
        let suffixes = [&svc, domain].into_iter().chain(domains).chain([&root]);
        let mut candidates = Vec::new();
        for suffix in suffixes {
            let Ok(candidate) = base.clone().append_domain(suffix) else {
                continue;
            };
            let asked = Ask {
                name: &candidate,
                ..ask
            };
            match self.answer(asked) {
                // Upstream would have to be asked for those before it first.
                Some(found) if found.code == Code::NoError && candidates.is_empty() => {
                    return Some(Searched::Here(self.glued(ask.name, &candidate, found)));
                }
                Some(_) => {}
                None => candidates.push(candidate),
            }
        }
        Some(Searched::Elsewhere {
            unknown,
            candidates,
        })
    }

    /// What stands before the first domain of the search of a pod with this address.
    fn base(&self, name: &Name, client: IpAddr) -> Option<Name> {
        let namespace = self.namespace_of_pod(client)?;
        let labels: Vec<&[u8]> = name.iter().collect();
        let count = labels.len().checked_sub(self.domain.len() + 2)?;
        let (base, rest) = labels.split_at_checked(count).filter(|_| count > 0)?;
        let is_first = self.holds(name)
            && rest[0].eq_ignore_ascii_case(namespace)
            && rest[1].eq_ignore_ascii_case(b"svc");
        if !is_first {
            return None;
        }
        let name = base
            .iter()
            .try_fold(Name::new(), |name, label| name.append_label(*label));
        name.ok()
    }

    fn namespace_of_pod(&self, address: IpAddr) -> Option<&[u8]> {
        let services = self.addresses.get(&address)?.iter();
        let is_pod = |service: &&crate::model::NamespacedName| {
            let entry = self.entry_of(service);
            let mut targets = entry
                .into_iter()
                .flat_map(|entry| entry.endpoints.iter().flatten());
            targets.any(|target| target.address == address && target.pod.is_some())
        };
        let mut services = services.filter(is_pod);
        services.next().map(|service| service.namespace.as_bytes())
    }

    /// An answer to another question than the one that was asked, with the alias that leads there.
    fn glued(&self, asked: &Name, found: &Name, mut answer: Answer) -> Answer {
        answer.answers.insert(0, self.glue(asked, found));
        answer.authorities.clear();
        answer
    }

    /// The alias from the name that was asked for to the one that was found.
    #[must_use]
    pub fn glue(&self, asked: &Name, found: &Name) -> Record {
        self.record(asked.clone(), RData::CNAME(CNAME(found.clone())))
    }
}

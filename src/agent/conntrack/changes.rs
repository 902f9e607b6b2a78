//! From two states of a Service to the front ends whose connections are to be looked at.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::forwarding::{Forwarding, front_ends};
use crate::model::{NamespacedName, Protocol, Snapshot, SnapshotDelta};

/// Protocols that Services can have.
const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

/// Where changed Services led when they were last programmed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Before(BTreeMap<NamespacedName, Forwarding>);

impl Before {
    /// Takes down where Services lead that are about to change. Of what was taken down already the
    /// first state stays: what came between was never in force.
    pub fn remember(&mut self, snapshot: &Snapshot, delta: &SnapshotDelta) {
        for name in delta.services.keys().chain(delta.slices.keys()) {
            if !self.0.contains_key(name) {
                self.0.insert(name.clone(), of_service(snapshot, name));
            }
        }
    }

    /// Where these Services lead now.
    #[must_use]
    pub fn now(&self, snapshot: &Snapshot) -> Forwarding {
        let names = self.0.keys();
        names.flat_map(|name| of_service(snapshot, name)).collect()
    }

    /// The front ends whose connections are to be looked at, and where those may lead.
    #[must_use]
    pub fn affected(&self, now: &Forwarding) -> Forwarding {
        let before: Forwarding = self
            .0
            .values()
            .flatten()
            .map(|(f, e)| (*f, e.clone()))
            .collect();
        affected(&before, now)
    }
}

fn of_service(snapshot: &Snapshot, name: &NamespacedName) -> Forwarding {
    let service = snapshot.services.get(name);
    service.map_or_else(Forwarding::new, |service| {
        front_ends(service, snapshot.slices_of(name), &PROTOCOLS)
    })
}

/// Front ends that lost an endpoint, went, or got their first endpoint. One that only got another
/// endpoint is left alone: everything that it has leads somewhere.
fn affected(before: &Forwarding, now: &Forwarding) -> Forwarding {
    let mut affected = Forwarding::new();
    for (front_end, old) in before {
        let new = now.get(front_end).map_or(&[][..], Vec::as_slice);
        if old.iter().any(|endpoint| !leads_to(new, endpoint)) {
            affected.insert(*front_end, new.to_vec());
        }
    }
    for (front_end, new) in now {
        if !new.is_empty() && before.get(front_end).is_none_or(Vec::is_empty) {
            affected.insert(*front_end, new.clone());
        }
    }
    affected
}

/// Whether an endpoint is among these, which are in order.
pub(super) fn leads_to(endpoints: &[SocketAddr], endpoint: &SocketAddr) -> bool {
    endpoints.binary_search(endpoint).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::conntrack::forwarding::FrontEnd;

    fn forwarding(entries: &[(&str, &[&str])]) -> Forwarding {
        let entry = |(front_end, endpoints): &(&str, &[&str])| {
            let front_end = FrontEnd::Address(Protocol::Udp, front_end.parse().unwrap());
            (
                front_end,
                endpoints.iter().map(|e| e.parse().unwrap()).collect(),
            )
        };
        entries.iter().map(entry).collect()
    }

    #[test]
    fn only_losses_and_first_endpoints_make_connections_stale() {
        let (a, b) = ("10.0.0.1:53", "10.0.0.2:53");
        let before = forwarding(&[
            ("10.96.0.1:53", &[a, b]),
            ("10.96.0.2:53", &[a]),
            ("10.96.0.3:53", &[]),
            ("10.96.0.4:53", &[a]),
            ("10.96.0.5:53", &[a]),
            ("10.96.0.6:53", &[]),
            ("10.96.0.7:53", &[]),
        ]);
        let now = forwarding(&[
            ("10.96.0.1:53", &[b]),
            ("10.96.0.2:53", &[a, b]),
            ("10.96.0.3:53", &[a]),
            ("10.96.0.4:53", &[]),
            ("10.96.0.6:53", &[]),
            ("10.96.0.8:53", &[b]),
            ("10.96.0.9:53", &[]),
        ]);
        let expected = forwarding(&[
            ("10.96.0.1:53", &[b]),
            ("10.96.0.3:53", &[a]),
            ("10.96.0.4:53", &[]),
            ("10.96.0.5:53", &[]),
            ("10.96.0.8:53", &[b]),
        ]);
        assert_eq!(affected(&before, &now), expected);
    }
}

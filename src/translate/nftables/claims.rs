//! Front ends that several service ports claim: the first in name order has it, cluster IPs before
//! all others, because those are allocated and others are asked for.

use std::collections::HashMap;

use super::elements::front_ends;
use super::key::FrontEnd;
use crate::model::{IpFamily, ServicePortName, Snapshot, proxied_ports};

/// A front end that a service port does not get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// What was claimed.
    pub front_end: FrontEnd,
    /// Who has it.
    pub owner: ServicePortName,
    /// Who goes without.
    pub loser: ServicePortName,
}

/// Finds the claims that cannot be met.
pub(super) fn conflicts(snapshot: &Snapshot, family: IpFamily) -> Vec<Conflict> {
    let mut owners: HashMap<FrontEnd, ServicePortName> = HashMap::new();
    let mut conflicts = Vec::new();
    for outside in [false, true] {
        for service in snapshot.services.values() {
            for port in proxied_ports(service, family) {
                let claimed = front_ends(&port).into_iter();
                for claim in claimed.filter(|f| (f.kind.is_outside()) == outside) {
                    let owner = owners
                        .entry(claim.front_end)
                        .or_insert_with(|| port.name.clone());
                    if *owner != port.name {
                        conflicts.push(Conflict {
                            front_end: claim.front_end,
                            owner: owner.clone(),
                            loser: port.name.clone(),
                        });
                    }
                }
            }
        }
    }
    conflicts
}

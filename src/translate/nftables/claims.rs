//! Front ends that service ports claim: the first in name order has one that several do, cluster
//! IPs before all others, because those are allocated and others are asked for.
//!
//! Kept from change to change, so that a claim that comes or goes costs time for its front end
//! only. Must not know what owning a front end means.

use std::collections::{BTreeSet, HashMap};
use std::fmt;

use super::elements::front_ends;
use super::key::FrontEnd;
use crate::model::{
    IpFamily, NamespacedName, ProxiedPort, Service, ServicePortName, proxied_ports,
};

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

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            front_end,
            owner,
            loser,
        } = self;
        write!(
            f,
            "{front_end} is claimed twice: {owner} has it, {loser} goes without"
        )
    }
}

/// A front end that a Service claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) front_end: FrontEnd,
    /// Not as its cluster IP.
    outside: bool,
    /// Which of the Service's ports, as an index of `spec.ports`.
    port: u16,
}

/// The claims of a Service's ports.
pub(super) fn claims<'a>(ports: impl Iterator<Item = &'a ProxiedPort>) -> Vec<Claim> {
    let ports = (0..u16::MAX).zip(ports);
    let claims = ports.flat_map(|(index, port)| {
        front_ends(port).into_iter().map(move |claimed| Claim {
            front_end: claimed.front_end,
            outside: claimed.kind.is_outside(),
            port: index,
        })
    });
    claims.collect()
}

/// Who claims a front end; the first in this order has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claimant {
    outside: bool,
    pub(super) service: NamespacedName,
    pub(super) port: u16,
}

/// Nearly every front end has one claimant.
#[derive(Clone, Debug)]
enum Claimants {
    One(Claimant),
    Several(BTreeSet<Claimant>),
}

impl Claimants {
    fn owner(&self) -> Option<&Claimant> {
        match self {
            Self::One(claimant) => Some(claimant),
            Self::Several(claimants) => claimants.first(),
        }
    }
}

/// Who claims which front end.
#[derive(Clone, Debug, Default)]
pub(super) struct Claims {
    of: HashMap<FrontEnd, Claimants>,
    /// Those with several claimants.
    contested: BTreeSet<FrontEnd>,
}

impl Claims {
    /// The claims of all Services in a family.
    pub(super) fn of<'a>(services: impl Iterator<Item = &'a Service>, family: IpFamily) -> Self {
        let mut all = Self::default();
        for service in services {
            let ports = proxied_ports(service, family);
            all.add(&service.name, &claims(ports.iter()));
        }
        all
    }

    /// Adds claims of a Service.
    pub(super) fn add(&mut self, service: &NamespacedName, claims: &[Claim]) {
        for claim in claims {
            let claimant = claimant(service, claim);
            let Some(present) = self.of.get_mut(&claim.front_end) else {
                self.of.insert(claim.front_end, Claimants::One(claimant));
                continue;
            };
            match present {
                Claimants::One(one) if *one == claimant => {}
                Claimants::One(one) => {
                    *present = Claimants::Several([one.clone(), claimant].into());
                    self.contested.insert(claim.front_end);
                }
                Claimants::Several(several) => {
                    several.insert(claimant);
                }
            }
        }
    }

    /// Takes claims of a Service back.
    pub(super) fn remove(&mut self, service: &NamespacedName, claims: &[Claim]) {
        for claim in claims {
            let claimant = claimant(service, claim);
            let left = match self.of.get_mut(&claim.front_end) {
                Some(Claimants::One(one)) if *one == claimant => None,
                Some(Claimants::Several(several)) => {
                    several.remove(&claimant);
                    if several.len() > 1 {
                        continue;
                    }
                    several.pop_first()
                }
                _ => continue,
            };
            self.contested.remove(&claim.front_end);
            match left {
                Some(one) => self.of.insert(claim.front_end, Claimants::One(one)),
                None => self.of.remove(&claim.front_end),
            };
        }
    }

    /// Who has a front end.
    pub(super) fn owner(&self, front_end: &FrontEnd) -> Option<&Claimant> {
        self.of.get(front_end)?.owner()
    }

    /// A port of a Service has a front end.
    pub(super) fn owns(&self, service: &NamespacedName, port: u16, front_end: &FrontEnd) -> bool {
        let owner = self.owner(front_end);
        owner.is_some_and(|owner| owner.port == port && owner.service == *service)
    }

    /// Front ends with several claimants: its owner, then the others, in order of front ends.
    pub(super) fn contested(&self) -> impl Iterator<Item = (FrontEnd, &Claimant, &Claimant)> {
        self.contested.iter().flat_map(|front_end| {
            let claimants = match self.of.get(front_end) {
                Some(Claimants::Several(several)) => Some(several),
                _ => None,
            };
            let mut order = claimants.into_iter().flatten();
            let owner = order.next();
            order.filter_map(move |loser| Some((*front_end, owner?, loser)))
        })
    }
}

fn claimant(service: &NamespacedName, claim: &Claim) -> Claimant {
    Claimant {
        outside: claim.outside,
        service: service.clone(),
        port: claim.port,
    }
}

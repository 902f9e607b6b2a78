//! The difference between what should be and what is, as steps in an order that shows clients
//! every virtual server whole or not at all.
//!
//! On removal the address goes first, then the virtual server; what comes is built up before its
//! address appears. A real server that goes while connections may use it is given weight 0 and
//! handed back as retired.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::ownership::Ownership;
use super::server::{Present, PresentReal, PresentServer, Server, ServerKey, ServerSpec};
use super::step::Step;
use crate::model::Protocol;

/// A real server with weight 0 that goes when its connections have ended.
pub type Retired = (ServerKey, SocketAddr);

/// The steps from what is to what should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In order; addresses that come are last.
    pub steps: Vec<Step>,
    /// Real servers whose connections are waited for.
    pub retired: Vec<Retired>,
    /// Virtual servers that should be, where somebody else's are or that are excluded.
    pub conflicts: Vec<ServerKey>,
}

/// Compares. With `drain`, real servers with connections retire instead of going at once.
#[must_use]
pub fn plan(
    desired: &BTreeMap<ServerKey, &Server>,
    addresses: &BTreeSet<IpAddr>,
    present: &Present,
    ownership: &Ownership<'_>,
    drain: bool,
) -> Plan {
    let mut plan = Plan::default();
    let mut changed = Plan::default();
    for (key, server) in desired {
        let there = present.servers.get(key);
        let foreign = there.is_some_and(|there| {
            !addresses.contains(&key.address)
                && !ownership.owns(key, present)
                && !is_equal(server, there)
        });
        if foreign || ownership.excludes(key.address) {
            plan.conflicts.push(*key);
        } else {
            between(key, server, there, drain, &mut changed);
        }
    }
    let stale = present.servers.keys();
    let stale = stale.filter(|key| !desired.contains_key(key) && ownership.owns(key, present));
    let deleted: Vec<_> = stale.map(|key| Step::DeleteServer(*key)).collect();
    if !present.device && !addresses.is_empty() {
        plan.steps.push(Step::AddDevice);
    }
    let gone = present.addresses.difference(addresses);
    let gone = gone.filter(|ip| !ownership.excludes(**ip));
    plan.steps.extend(gone.map(|ip| Step::DeleteAddress(*ip)));
    plan.steps.extend(deleted);
    plan.steps.append(&mut changed.steps);
    plan.retired = changed.retired;
    let new = addresses.difference(&present.addresses);
    let new = new.filter(|ip| !ownership.excludes(**ip));
    plan.steps.extend(new.map(|ip| Step::AddAddress(*ip)));
    plan
}

/// Adds the steps that make one virtual server as it should be.
///
/// Real servers go before others come, but for those without which the virtual server would have
/// none for a moment.
pub fn between(
    key: &ServerKey,
    server: &Server,
    present: Option<&PresentServer>,
    drain: bool,
    plan: &mut Plan,
) {
    let none = BTreeMap::new();
    let there = present.map_or(&none, |present| &present.reals);
    match present {
        None => plan.steps.push(Step::AddServer(*key, server.spec.clone())),
        Some(present) if present.spec.as_ref() != Some(&server.spec) => {
            plan.steps.push(Step::SetServer(*key, server.spec.clone()));
        }
        Some(_) => {}
    }
    let mut come = Vec::new();
    for (socket, weight) in &server.reals {
        match there.get(socket) {
            None => come.push(Step::AddReal(*key, *socket, *weight)),
            Some(real) if real.weight != *weight || !real.usual => {
                come.push(Step::SetReal(*key, *socket, *weight));
            }
            Some(_) => {}
        }
    }
    let some_stay = there.keys().any(|socket| server.reals.contains_key(socket));
    if !some_stay {
        plan.steps.append(&mut come);
    }
    let go = there
        .iter()
        .filter(|(socket, _)| !server.reals.contains_key(socket));
    for (socket, real) in go {
        retire(key, *socket, real, drain, plan);
    }
    plan.steps.append(&mut come);
}

/// Whether connections of this protocol are waited for: UDP has none that end.
fn holds(key: &ServerKey) -> bool {
    key.protocol != Protocol::Udp
}

fn retire(key: &ServerKey, socket: SocketAddr, real: &PresentReal, drain: bool, plan: &mut Plan) {
    if !drain || !holds(key) || real.connections == 0 {
        plan.steps.push(Step::DeleteReal(*key, socket));
        return;
    }
    if real.weight != 0 {
        plan.steps.push(Step::SetReal(*key, socket, 0));
    }
    plan.retired.push((*key, socket));
}

/// Virtual servers that should be no more but have connections: they stay, without real servers
/// for new ones, until those have ended. Their specifications are as the kernel has them; `true`
/// for an address that is on the dummy device.
#[must_use]
pub fn lingering(
    desired: &BTreeMap<ServerKey, &Server>,
    present: &Present,
    ownership: &Ownership<'_>,
) -> Vec<(ServerKey, ServerSpec, bool)> {
    let stale = present.servers.iter();
    let stale = stale.filter(|(key, server)| {
        !desired.contains_key(key)
            && holds(key)
            && server.reals.values().any(|real| real.connections > 0)
            && ownership.owns(key, present)
    });
    stale
        .filter_map(|(key, server)| {
            let bound = present.addresses.contains(&key.address);
            Some((*key, server.spec.clone()?, bound))
        })
        .collect()
}

/// A virtual server that is there is exactly the one that should be.
fn is_equal(server: &Server, there: &PresentServer) -> bool {
    let same = |(socket, weight): (&SocketAddr, &u32)| {
        let real = there.reals.get(socket);
        real.is_some_and(|real| real.usual && real.weight == *weight)
    };
    there.spec.as_ref() == Some(&server.spec)
        && there.reals.len() == server.reals.len()
        && server.reals.iter().all(same)
}

#[cfg(test)]
mod tests;

//! The difference between what should be and what is, as steps in an order that shows clients
//! every virtual server whole or not at all.
//!
//! On removal the address goes first, then the virtual server; what comes is built up before its
//! address appears. A real server that goes while connections may use it is given weight 0 and
//! handed back as retired.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::server::{Present, PresentReal, PresentServer, Server, ServerKey, ServerSpec};
use super::step::Step;
use crate::model::Protocol;

/// A real server with weight 0 that goes when its connections have ended.
pub type Retired = (ServerKey, SocketAddr);

/// How to tell which of the kernel's virtual servers are ours.
#[derive(Clone, Copy)]
pub struct Ownership<'a> {
    /// Those that are recorded as ours, beside all on addresses of the dummy device.
    pub recorded: &'a BTreeSet<ServerKey>,
    /// Addresses that are never touched.
    pub excluded: &'a [IpNet],
    /// Virtual servers of another proxy that are to be taken over.
    pub taken_over: &'a dyn Fn(&ServerKey) -> bool,
}

impl Ownership<'_> {
    /// The address is not to be touched.
    #[must_use]
    pub fn excludes(&self, address: IpAddr) -> bool {
        self.excluded.iter().any(|net| net.contains(&address))
    }

    /// A virtual server that is in the kernel may be changed and deleted.
    #[must_use]
    pub fn owns(&self, key: &ServerKey, present: &Present) -> bool {
        !self.excludes(key.address)
            && (self.recorded.contains(key)
                || present.addresses.contains(&key.address)
                || (self.taken_over)(key))
    }
}

impl std::fmt::Debug for Ownership<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ownership")
            .field("recorded", &self.recorded.len())
            .field("excluded", &self.excluded)
            .finish_non_exhaustive()
    }
}

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
mod tests {
    use super::*;
    use crate::plan::ipvs::Scheduler;

    fn key(address: &str, protocol: Protocol) -> ServerKey {
        let address = address.parse().unwrap();
        ServerKey {
            address,
            protocol,
            port: 80,
        }
    }

    fn spec() -> ServerSpec {
        ServerSpec {
            scheduler: Scheduler::default(),
            persistence: None,
        }
    }

    fn server(reals: &[&str]) -> Server {
        let reals = reals.iter().map(|real| (real.parse().unwrap(), 1));
        Server {
            spec: spec(),
            reals: reals.collect(),
        }
    }

    fn present(reals: &[(&str, u32, u32)]) -> PresentServer {
        let real = |&(socket, weight, connections): &(&str, u32, u32)| {
            let real = PresentReal {
                weight,
                usual: true,
                connections,
            };
            (socket.parse().unwrap(), real)
        };
        PresentServer {
            spec: Some(spec()),
            reals: reals.iter().map(real).collect(),
        }
    }

    fn lines(plan: &Plan) -> Vec<String> {
        plan.steps.iter().map(ToString::to_string).collect()
    }

    fn planned(
        desired: &[(ServerKey, Server)],
        addresses: &[&str],
        present: &Present,
        recorded: &[ServerKey],
    ) -> Plan {
        let desired = desired.iter().map(|(key, server)| (*key, server)).collect();
        let addresses = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        let recorded = recorded.iter().copied().collect();
        let excluded = ["10.9.0.0/16".parse().unwrap()];
        let ownership = Ownership {
            recorded: &recorded,
            excluded: &excluded,
            taken_over: &|_| false,
        };
        plan(&desired, &addresses, present, &ownership, true)
    }

    #[test]
    fn an_address_appears_when_its_servers_are_complete_and_goes_before_them() {
        let (old, new) = ("10.0.0.1", "10.0.0.2");
        let kernel = Present {
            device: false,
            addresses: [old.parse().unwrap()].into(),
            servers: [(key(old, Protocol::Tcp), present(&[("10.1.0.1:80", 1, 0)]))].into(),
        };
        let desired = [(key(new, Protocol::Tcp), server(&["10.1.0.2:80"]))];
        assert_eq!(
            lines(&planned(&desired, &[new], &kernel, &[])),
            [
                "+link kube-ipvs0 type dummy",
                "-addr 10.0.0.1/32 dev kube-ipvs0",
                "--D -t 10.0.0.1:80",
                "+-A -t 10.0.0.2:80 -s rr",
                "+-a -t 10.0.0.2:80 -r 10.1.0.2:80 -m -w 1",
                "+addr 10.0.0.2/32 dev kube-ipvs0",
            ]
        );
    }

    #[test]
    fn a_real_server_with_connections_retires_and_one_over_udp_does_not() {
        for (protocol, expected, retired) in [
            (
                Protocol::Tcp,
                "~-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 0",
                1,
            ),
            (Protocol::Udp, "--d -u 10.0.0.1:80 -r 10.1.0.1:80", 0),
        ] {
            let kernel = Present {
                device: true,
                addresses: ["10.0.0.1".parse().unwrap()].into(),
                servers: [(
                    key("10.0.0.1", protocol),
                    present(&[("10.1.0.1:80", 1, 7), ("10.1.0.2:80", 1, 7)]),
                )]
                .into(),
            };
            let desired = [(key("10.0.0.1", protocol), server(&["10.1.0.2:80"]))];
            let plan = planned(&desired, &["10.0.0.1"], &kernel, &[]);
            assert_eq!(lines(&plan), [expected]);
            assert_eq!(plan.retired.len(), retired);
        }
    }

    #[test]
    fn weight_comes_back_after_a_restart_k92019_k108319() {
        let kernel = Present {
            device: true,
            addresses: ["10.0.0.1".parse().unwrap()].into(),
            servers: [(
                key("10.0.0.1", Protocol::Tcp),
                present(&[("10.1.0.1:80", 0, 3)]),
            )]
            .into(),
        };
        let desired = [(key("10.0.0.1", Protocol::Tcp), server(&["10.1.0.1:80"]))];
        let plan = planned(&desired, &["10.0.0.1"], &kernel, &[]);
        assert_eq!(lines(&plan), ["~-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 1"]);
        assert_eq!(plan.retired, []);
    }

    #[test]
    fn a_real_server_that_waits_for_its_connections_is_no_difference() {
        let kernel = Present {
            device: true,
            addresses: ["10.0.0.1".parse().unwrap()].into(),
            servers: [(
                key("10.0.0.1", Protocol::Tcp),
                present(&[("10.1.0.1:80", 0, 3), ("10.1.0.2:80", 1, 0)]),
            )]
            .into(),
        };
        let desired = [(key("10.0.0.1", Protocol::Tcp), server(&["10.1.0.2:80"]))];
        let plan = planned(&desired, &["10.0.0.1"], &kernel, &[]);
        assert_eq!((plan.steps.len(), plan.retired.len()), (0, 1));
    }

    #[test]
    fn what_is_not_ours_is_not_touched_and_a_front_end_in_its_place_is_a_conflict() {
        let foreign = key("192.168.0.1", Protocol::Tcp);
        let excluded = key("10.9.0.1", Protocol::Tcp);
        let recorded = key("192.168.0.2", Protocol::Tcp);
        let stranger = key("192.168.0.3", Protocol::Tcp);
        let busy = || present(&[("10.1.0.1:80", 1, 1)]);
        let kernel = Present {
            device: true,
            addresses: ["10.9.0.1".parse().unwrap()].into(),
            servers: [foreign, excluded, recorded, stranger]
                .map(|key| (key, busy()))
                .into(),
        };
        let desired = [
            (foreign, server(&["10.1.0.9:80"])),
            (key("10.9.0.2", Protocol::Tcp), server(&[])),
        ];
        let addresses = ["10.9.0.2"];
        let plan = planned(&desired, &addresses, &kernel, &[recorded]);
        assert_eq!(lines(&plan), ["--D -t 192.168.0.2:80"]);
        assert_eq!(plan.conflicts.len(), 2);
    }

    #[test]
    fn a_deleted_virtual_server_lingers_while_it_has_connections() {
        let gone = key("10.0.0.1", Protocol::Tcp);
        let idle = key("10.0.0.2", Protocol::Tcp);
        let kernel = Present {
            device: true,
            addresses: ["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()].into(),
            servers: [
                (
                    gone,
                    present(&[("10.1.0.1:80", 1, 1), ("10.1.0.2:80", 1, 0)]),
                ),
                (idle, present(&[("10.1.0.2:80", 1, 0)])),
            ]
            .into(),
        };
        let ownership = Ownership {
            recorded: &BTreeSet::new(),
            excluded: &[],
            taken_over: &|_| false,
        };
        let found = lingering(&BTreeMap::new(), &kernel, &ownership);
        assert_eq!(found, [(gone, spec(), true)]);
        let desired = [(gone, server(&[]))];
        assert_eq!(
            lines(&planned(&desired, &["10.0.0.1"], &kernel, &[])),
            [
                "-addr 10.0.0.2/32 dev kube-ipvs0",
                "--D -t 10.0.0.2:80",
                "~-a -t 10.0.0.1:80 -r 10.1.0.1:80 -m -w 0",
                "--d -t 10.0.0.1:80 -r 10.1.0.2:80"
            ]
        );
    }
}

//! Any sequence of changes of virtual servers, with connections that come and end and steps that
//! the kernel refuses, ends where a fresh apply would; and on the way no client meets a service
//! half-made, nor an endpoint of somebody else.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, where a failure is a failed test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use portolan::kernel::ipvs::IpvsKernel;
use portolan::kernel::ipvs::fake::FakeIpvs;
use portolan::model::Protocol;
use portolan::plan::ipvs::{
    Ownership, Plan, Present, Scheduler, Server, ServerKey, ServerSpec, Step, plan,
};
use proptest::prelude::*;

/// Services by the last byte of their address, and ports; real servers by number, with weights.
type Desired = BTreeMap<ServerKey, Server>;

fn key(service: u8, port: u16, udp: bool) -> ServerKey {
    let protocol = if udp { Protocol::Udp } else { Protocol::Tcp };
    ServerKey {
        address: IpAddr::from([10, 233, 0, service]),
        protocol,
        port,
    }
}

/// Every virtual server has real servers of its own network: one in another's place is seen.
fn real(key: &ServerKey, number: u8) -> SocketAddr {
    let IpAddr::V4(address) = key.address else {
        unreachable!("these tests are of IPv4")
    };
    let udp = u8::from(key.protocol == Protocol::Udp);
    let network = address.octets()[3] * 8 + u8::try_from(key.port % 4).unwrap() * 2 + udp;
    SocketAddr::from(([10, 244, network, number], 8080))
}

fn desired() -> impl Strategy<Value = Desired> {
    let server = (
        prop_oneof![Just(None), Just(Some(300)), Just(Some(10_800))],
        proptest::collection::btree_map(0..5u8, 1..4u32, 0..5),
    );
    let keys = (1..5u8, 80..83u16, any::<bool>());
    proptest::collection::btree_map(keys, server, 0..8).prop_map(|servers| {
        let server = |((service, port, udp), (persistence, reals)): (_, (_, BTreeMap<u8, u32>))| {
            let key = key(service, port, udp);
            let reals = reals
                .iter()
                .map(|(number, weight)| (real(&key, *number), *weight));
            let spec = ServerSpec {
                scheduler: Scheduler::default(),
                persistence,
            };
            let reals = reals.collect();
            (key, Server { spec, reals })
        };
        servers.into_iter().map(server).collect()
    })
}

fn addresses(desired: &Desired) -> BTreeSet<IpAddr> {
    desired.keys().map(|key| key.address).collect()
}

/// What it takes from what the kernel has. All of it is recorded as ours: the record is kept until
/// a virtual server is gone.
fn planned(desired: &Desired, present: &Present, drain: bool) -> Plan {
    let recorded = present.servers.keys().copied().collect();
    let ownership = Ownership {
        recorded: &recorded,
        excluded: &[],
        taken_over: &|_| false,
    };
    let servers = desired.iter().map(|(key, server)| (*key, server)).collect();
    plan(&servers, &addresses(desired), present, &ownership, drain)
}

/// The kernel holds just this. Weight 0 and connections are what retired real servers have.
fn assert_holds(kernel: &FakeIpvs, desired: &Desired) {
    assert_eq!(kernel.present.addresses, addresses(desired));
    let keys = |map: Vec<&ServerKey>| map.into_iter().copied().collect::<Vec<_>>();
    let there = keys(kernel.present.servers.keys().collect());
    assert_eq!(there, keys(desired.keys().collect()));
    for (key, server) in desired {
        let there = &kernel.present.servers[key];
        assert_eq!(there.spec.as_ref(), Some(&server.spec), "{key}");
        let reals = there
            .reals
            .iter()
            .map(|(socket, real)| (*socket, real.weight));
        assert_eq!(reals.collect::<BTreeMap<_, _>>(), server.reals, "{key}");
    }
}

/// A virtual server is served by its own real servers and by no others.
fn assert_no_strangers(kernel: &FakeIpvs) {
    for (key, server) in &kernel.present.servers {
        for socket in server.reals.keys() {
            let numbers = 0..5u8;
            assert!(
                numbers.into_iter().any(|n| real(key, n) == *socket),
                "{key} leads to {socket}"
            );
        }
    }
}

/// What a client can see after each single step.
fn assert_whole(kernel: &FakeIpvs, step: &Step, desired: &Desired) {
    assert_no_strangers(kernel);
    let present = &kernel.present;
    match step {
        Step::AddAddress(ip) => {
            let on_it = desired.iter().filter(|(key, _)| key.address == *ip);
            for (key, server) in on_it {
                let there = &present.servers[key];
                let missing = server
                    .reals
                    .keys()
                    .find(|real| !there.reals.contains_key(*real));
                assert_eq!(missing, None, "{ip} appears before {key} is whole");
            }
        }
        Step::DeleteServer(key) if !addresses(desired).contains(&key.address) => {
            assert!(
                !present.addresses.contains(&key.address),
                "{key} goes before its address"
            );
        }
        Step::DeleteReal(key, _) => {
            let wanted = desired
                .get(key)
                .is_some_and(|server| !server.reals.is_empty());
            let left = present.servers[key]
                .reals
                .values()
                .any(|real| real.weight > 0);
            assert!(left || !wanted, "{key} has no real server for a moment");
        }
        _ => {}
    }
}

/// Takes the steps one by one, and looks after each. Gives how many were refused.
fn take(kernel: &mut FakeIpvs, plan: &Plan, desired: &Desired) -> usize {
    let mut refused = 0;
    for step in &plan.steps {
        let failed = kernel.take(std::slice::from_ref(step)).unwrap();
        if failed.is_empty() && kernel.refuses.is_empty() {
            assert_whole(kernel, step, desired);
        }
        assert_no_strangers(kernel);
        refused += failed.len();
    }
    refused
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(200)
    ))]

    #[test]
    fn any_sequence_of_changes_ends_where_a_fresh_apply_would(
        states in proptest::collection::vec(desired(), 1..12),
    ) {
        let mut kernel = FakeIpvs::default();
        for state in &states {
            let plan = planned(state, &kernel.present, true);
            prop_assert_eq!(take(&mut kernel, &plan, state), 0);
            assert_holds(&kernel, state);
            prop_assert_eq!(planned(state, &kernel.present, true), Plan::default());
        }
        let last = states.last().unwrap();
        let mut fresh = FakeIpvs::default();
        let plan = planned(last, &fresh.present, true);
        take(&mut fresh, &plan, last);
        prop_assert_eq!(&kernel.present.servers, &fresh.present.servers);
        prop_assert_eq!(&kernel.present.addresses, &fresh.present.addresses);
    }

    #[test]
    fn connections_are_waited_for_and_what_they_used_goes_when_they_end(
        before in desired(), after in desired(), busy in any::<prop::sample::Selector>(),
    ) {
        let mut kernel = FakeIpvs::default();
        let plan = planned(&before, &kernel.present, true);
        take(&mut kernel, &plan, &before);
        let all: Vec<_> = before.iter()
            .flat_map(|(key, server)| server.reals.keys().map(|real| (*key, *real)))
            .collect();
        prop_assume!(!all.is_empty());
        let (key, socket) = busy.select(all);
        kernel.connect(&key, socket, 3);

        let plan = planned(&after, &kernel.present, true);
        prop_assert_eq!(take(&mut kernel, &plan, &after), 0);
        let stays = after.get(&key);
        let retires = stays.is_some_and(|server| !server.reals.contains_key(&socket))
            && key.protocol == Protocol::Tcp;
        prop_assert_eq!(plan.retired.contains(&(key, socket)), retires);
        if retires {
            let real = kernel.present.servers[&key].reals[&socket];
            prop_assert_eq!((real.weight, real.connections), (0, 3));
        }
        // Waiting is no difference; the end of it is.
        prop_assert_eq!(planned(&after, &kernel.present, true).steps, Vec::new());
        kernel.connect(&key, socket, 0);
        let plan = planned(&after, &kernel.present, true);
        take(&mut kernel, &plan, &after);
        assert_holds(&kernel, &after);
    }

    #[test]
    fn a_failure_half_way_leads_to_no_stranger_and_is_made_good_by_the_next_try(
        before in desired(), after in desired(), at in any::<prop::sample::Index>(),
    ) {
        let mut kernel = FakeIpvs::default();
        let plan = planned(&before, &kernel.present, true);
        take(&mut kernel, &plan, &before);
        let plan = planned(&after, &kernel.present, true);
        prop_assume!(!plan.steps.is_empty());
        kernel.refuses = vec![at.get(&plan.steps).object()];
        prop_assert!(take(&mut kernel, &plan, &after) > 0);

        kernel.refuses.clear();
        let plan = planned(&after, &kernel.present, true);
        prop_assert_eq!(take(&mut kernel, &plan, &after), 0);
        assert_holds(&kernel, &after);
    }
}

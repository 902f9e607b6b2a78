//! What is planned from what, line by line.

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

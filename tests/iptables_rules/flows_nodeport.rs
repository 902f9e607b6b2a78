//! Traffic to node ports, on the addresses that accept it.

use ipnet::IpNet;
use portolan::model::{IpFamily, NodePortAddresses};
use portolan::translate::iptables::IptablesOptions;

use super::cluster::{describe, node, options, snapshot};
use super::simulator::Simulator;

/// Settings of one case: `iptables.localhostNodePorts` and `--nodeport-addresses`.
fn simulate(family: IpFamily, localhost: bool, cidrs: &[&str]) -> Simulator {
    let cidrs: Vec<IpNet> = cidrs.iter().map(|cidr| cidr.parse().unwrap()).collect();
    let mut local = node().addresses;
    local.extend(["127.0.0.1", "::1"].map(|ip| ip.parse::<std::net::IpAddr>().unwrap()));
    let options = IptablesOptions {
        localhost_node_ports: localhost && NodePortAddresses::include_ipv4_loopback(&cidrs),
        node_port_addresses: NodePortAddresses::resolve(&cidrs, &local, family),
        ..options(family)
    };
    let described = match family {
        IpFamily::V4 => describe("ns1/svc1", "172.30.0.41"),
        IpFamily::V6 => describe("ns1/svc1", "fd00:10:96::41"),
    };
    let endpoint = match family {
        IpFamily::V4 => "10.244.0.1",
        IpFamily::V6 => "fd00:10::5",
    };
    let described = described.tcp("p80", 80).node_port(3001);
    Simulator::new(&snapshot([described.endpoints(&[endpoint])]), &options)
}

/// Which of these accept node-port traffic: the node's first address from outside and from itself,
/// its second address, localhost.
fn accepted_v4(localhost: bool, cidrs: &[&str]) -> [bool; 4] {
    let simulator = simulate(IpFamily::V4, localhost, cidrs);
    assert_eq!(simulator.tcp("10.0.0.2", "172.30.0.41:80"), "10.244.0.1:80");
    let accepted = |source: &str, destination: &str| {
        let outcome = simulator.tcp(source, destination);
        assert!(
            outcome.is_empty() || outcome == "10.244.0.1:80*",
            "{outcome}"
        );
        !outcome.is_empty()
    };
    [
        accepted("203.0.113.2", "192.168.0.2:3001"),
        accepted("192.168.0.2", "192.168.0.2:3001"),
        accepted("203.0.113.2", "192.168.1.2:3001"),
        accepted("127.0.0.1", "127.0.0.1:3001"),
    ]
}

#[test]
fn every_address_accepts_node_ports_by_default() {
    assert_eq!(accepted_v4(true, &[]), [true, true, true, true]);
}

#[test]
fn localhost_can_be_left_out() {
    assert_eq!(accepted_v4(false, &[]), [true, true, true, false]);
}

#[test]
fn only_given_addresses_accept_node_ports() {
    let localhost_too = &["192.168.0.0/24", "127.0.0.0/8"];
    assert_eq!(accepted_v4(true, localhost_too), [true, true, false, true]);
    assert_eq!(
        accepted_v4(false, localhost_too),
        [true, true, false, false]
    );
    let several = &["192.168.0.0/24", "192.168.1.0/24", "2001:db8::/64"];
    assert_eq!(accepted_v4(true, several), [true, true, true, false]);
    assert_eq!(
        accepted_v4(true, &["127.0.0.0/8"]),
        [false, false, false, true]
    );
}

#[test]
fn ipv6_never_accepts_node_ports_on_localhost() {
    let cases: [(&[&str], bool); 3] = [
        (&[], true),
        (&["2001:db8::/64", "::1/128"], false),
        (&["192.168.0.0/24"], true),
    ];
    for (cidrs, second_address) in cases {
        let simulator = simulate(IpFamily::V6, true, cidrs);
        let masqueraded = "[fd00:10::5]:80*";
        let expected = if second_address { masqueraded } else { "" };
        assert_eq!(
            simulator.tcp("2600:5200::1", "[2001:db8::1]:3001"),
            masqueraded
        );
        assert_eq!(
            simulator.tcp("2600:5200::1", "[2001:db8:1::2]:3001"),
            expected
        );
        assert_eq!(simulator.tcp("::1", "[::1]:3001"), "");
    }
}

#[test]
fn neighbours_cannot_reach_localhost_although_the_route_is_open() {
    let simulator = simulate(IpFamily::V4, true, &[]);
    assert_eq!(simulator.tcp("192.168.0.77", "127.0.0.1:22"), "DROP");
    assert_eq!(simulator.tcp("127.0.0.1", "127.0.0.1:22"), "");
}

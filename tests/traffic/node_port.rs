//! Node ports and external IPs: the ways in from outside.

use std::net::UdpSocket;

use serde_json::json;

use crate::support::dial::SILENCE;
use crate::support::program::is_userspace_tested;
use crate::support::server::Server;
use crate::support::{Mode, Outcome, Protocol, Service, Testbed};

const ALL: [&str; 4] = ["far-1", "pod-1", "pod-2", "pod-3"];

/// Three pods on this node and one on the other behind node port 30080.
fn bed(more: &[&str]) -> Testbed {
    let bed = Testbed::with_pods_and_far_pods(4, 1);
    let web = Service::new("web", "10.233.10.10")
        .node_port(30080)
        .field("externalIPs", json!(["203.0.113.5"]))
        .to(bed.pods[..3].iter().chain(&bed.far_pods));
    bed.apply_with(&[web], more);
    bed
}

#[test]
fn an_outside_client_reaches_every_endpoint_evenly() {
    let bed = bed(&[]);
    let tally = bed.outside.dial(&bed.node.at(30080)).times(400);
    tally.assert_even_over(&ALL);
    assert!(
        tally
            .answers
            .iter()
            .all(crate::support::Answer::is_masqueraded),
        "{tally}"
    );
}

#[test]
fn curl_works_from_outside() {
    let bed = bed(&[]);
    let text = bed.outside.curl(&bed.node.at(30080));
    assert!(
        text.contains(" from 10.233.65.254:") || text.contains(" from 192.168.10.100:"),
        "{text}"
    );
}

/// kube-proxy's nftables mode never answers on loopback, and by default on the primary address
/// only (`nodePortAddresses: primary`; `pkg/proxy/nftables/proxier.go`, `NewProxier`).
#[test]
fn the_addresses_of_the_node_that_answer_to_the_node_itself() {
    let loopback = ["127.0.0.1", "127.8.7.6"];
    let default = Mode::expects(
        &["192.168.10.100", "10.233.65.254"][..],
        &["192.168.10.100"],
    );
    let all = Mode::expects(&loopback[..], &[]);
    let all = [default, all].concat();
    assert_answering(&bed(&[]), &all);
}

#[test]
fn every_address_of_the_node_answers_where_all_are_asked_for() {
    let everywhere = bed(&["--nodeport-addresses", "0.0.0.0/0,::/0"]);
    let all = ["192.168.10.100", "10.233.65.254", "127.0.0.1", "127.8.7.6"];
    assert_answering(&everywhere, Mode::expects(&all, &all[..2]));
}

#[track_caller]
fn assert_answering(bed: &Testbed, answering: &[&str]) {
    for address in ["192.168.10.100", "10.233.65.254", "127.0.0.1", "127.8.7.6"] {
        let dial = bed.node.dial(&format!("{address}:30080"));
        if answering.contains(&address) {
            dial.times(60).assert_only(&ALL);
        } else {
            assert_eq!(dial.impatiently().once(), Outcome::Refused, "{address}");
        }
    }
}

#[test]
fn an_address_that_the_node_gets_later_answers() {
    let bed = bed(&["--nodeport-addresses", "0.0.0.0/0,::/0"]);
    bed.node.namespace.run(
        "ip",
        &["address", "add", "192.168.10.101/24", "dev", "eth0"],
    );
    bed.outside
        .dial("192.168.10.101:30080")
        .times(60)
        .assert_only(&ALL);
}

#[test]
fn a_pod_reaches_the_node_port_masqueraded() {
    let bed = bed(&[]);
    let tally = bed.pod(4).dial(&bed.node.at(30080)).times(60);
    tally.assert_only(&ALL);
    assert!(
        tally
            .answers
            .iter()
            .all(crate::support::Answer::is_masqueraded),
        "{tally}"
    );
}

#[test]
fn from_outside_nobody_enters_by_a_loopback_address() {
    // route_localnet would let a neighbour send to 127.0.0.1 of the node; KUBE-FIREWALL does not.
    // The nftables mode does without.
    let bed = bed(&[]);
    let node = &bed.node.namespace;
    let setting = node.sysctl("ipv4/conf/all/route_localnet");
    assert_eq!(setting, Mode::expects("1", "0"));
    let inside = node.enter(|| UdpSocket::bind("127.0.0.1:9999")).unwrap();
    inside.set_read_timeout(Some(SILENCE)).unwrap();
    let outside = route_loopback_to_the_node(&bed);
    let arrives = || {
        outside.send_to(b"hello", "127.0.0.1:9999").unwrap();
        inside.recv(&mut [0; 16]).is_ok()
    };
    assert!(!arrives());
    // The same packets do arrive without the rule, or with the setting.
    match Mode::tested() {
        Mode::Iptables => drop(node.run("iptables", &["-F", "KUBE-FIREWALL"])),
        Mode::Nftables => node.set_sysctl("ipv4/conf/all/route_localnet", "1"),
    }
    assert!(arrives());
}

/// A socket of the outside client, whose packets for 127.0.0.1 leave it towards the node.
fn route_loopback_to_the_node(bed: &Testbed) -> UdpSocket {
    let outside = &bed.outside.namespace;
    outside.set_sysctl("ipv4/conf/all/route_localnet", "1");
    outside.ip(&[
        "route del local 127.0.0.0/8 dev lo table local".to_owned(),
        "route del local 127.0.0.1 dev lo table local".to_owned(),
        "route add 127.0.0.0/8 via 192.168.10.100 dev br0".to_owned(),
    ]);
    outside.enter(|| UdpSocket::bind("192.168.10.1:0")).unwrap()
}

#[test]
fn without_localhost_node_ports_loopback_refuses() {
    let bed = bed(&["--iptables-localhost-nodeports=false"]);
    assert_eq!(
        bed.node.dial("127.0.0.1:30080").impatiently().once(),
        Outcome::Refused
    );
    bed.node.dial(&bed.node.at(30080)).answer();
}

#[test]
fn node_port_addresses_limit_where_it_answers() {
    let bed = bed(&["--nodeport-addresses", "192.168.10.0/24"]);
    bed.outside.dial(&bed.node.at(30080)).answer();
    assert_eq!(
        bed.pod(4).dial("10.233.65.254:30080").impatiently().once(),
        Outcome::Refused
    );
}

#[test]
fn an_external_ip_is_reached_from_outside_and_from_pods() {
    let bed = bed(&[]);
    for client in [&bed.outside, bed.pod(4), &bed.node] {
        let tally = client.dial("203.0.113.5:80").times(60);
        tally.assert_only(&ALL);
    }
    assert!(bed.outside.dial("203.0.113.5:80").answer().is_masqueraded());
}

#[test]
fn servers_of_the_node_keep_their_ports() {
    let bed = bed(&[]);
    let _server = Server::start(&bed.node.namespace, "node", Protocol::Tcp, 30081);
    for client in [&bed.outside, bed.pod(4), &bed.node] {
        client
            .dial(&bed.node.at(30081))
            .times(5)
            .assert_only(&["node"]);
    }
}

/// kube-proxy's iptables mode has a rule in `FORWARD` that accepts what it translated; its nftables
/// mode cannot, because an accept ends one table only and another's drop is final.
#[test]
fn a_node_that_forwards_nothing_forwards_for_services_in_iptables_mode_alone() {
    let bed = bed(&[]);
    bed.node
        .namespace
        .run("iptables", &["-P", "FORWARD", "DROP"]);
    let target = bed.node.at(30080);
    match Mode::tested() {
        // The agent's connections are the node's own.
        _ if is_userspace_tested() => bed.outside.dial(&target).times(20).assert_only(&ALL),
        Mode::Iptables => bed.outside.dial(&target).times(20).assert_only(&ALL),
        Mode::Nftables => {
            let end = bed.outside.dial(&target).impatiently().once();
            assert_eq!(end, Outcome::TimedOut);
        }
    }
    let direct = bed.outside.dial("203.0.113.5:81").impatiently();
    assert_eq!(direct.once(), Outcome::TimedOut);
}

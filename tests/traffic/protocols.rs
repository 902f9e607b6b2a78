//! TCP, UDP and SCTP, also on the same port number.

use crate::support::skip::{Lack, skip};
use crate::support::{Outcome, Protocol, Service, Testbed};

const DNS: &str = "10.233.10.70:53";

#[test]
fn one_port_number_leads_to_different_pods_by_protocol() {
    let bed = Testbed::with_pods(3);
    let service = Service::new("dns", "10.233.10.70")
        .port(Protocol::Tcp, 53)
        .node_port(30053)
        .to(&bed.pods[..1])
        .port(Protocol::Udp, 53)
        .node_port(30053)
        .to(&bed.pods[1..2]);
    bed.apply(&[service]);
    for (protocol, server) in [(Protocol::Tcp, "pod-1"), (Protocol::Udp, "pod-2")] {
        bed.pod(3)
            .dial(DNS)
            .over(protocol)
            .times(20)
            .assert_only(&[server]);
        let node_port = bed.node.at(30053);
        bed.outside
            .dial(&node_port)
            .over(protocol)
            .times(20)
            .assert_only(&[server]);
    }
}

#[test]
fn one_port_number_serves_all_three_protocols() {
    let bed = Testbed::with_pods(4);
    let service = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp]
        .into_iter()
        .zip(&bed.pods)
        .fold(
            Service::new("all", "10.233.10.70"),
            |service, (protocol, pod)| service.port(protocol, 53).node_port(30053).to([pod]),
        );
    bed.apply(&[service]);
    let reaches = |protocol, server: &str| {
        for target in [DNS, &bed.node.at(30053)] {
            let dial = bed.pod(4).dial(target).over(protocol);
            dial.times(10).assert_only(&[server]);
        }
    };
    reaches(Protocol::Tcp, "pod-1");
    reaches(Protocol::Udp, "pod-2");
    if !Protocol::Sctp.is_supported() {
        return skip(
            Lack::Kernel,
            "this kernel has no SCTP (socket: protocol not supported)",
        );
    }
    reaches(Protocol::Sctp, "pod-3");
}

#[test]
fn datagrams_are_spread_evenly() {
    let bed = Testbed::with_pods(4);
    let service = Service::new("dns", "10.233.10.70")
        .over(Protocol::Udp)
        .to(&bed.pods[..3]);
    bed.apply(&[service]);
    let tally = bed
        .pod(4)
        .dial("10.233.10.70:80")
        .over(Protocol::Udp)
        .times(300);
    tally.assert_even_over(&["pod-1", "pod-2", "pod-3"]);
}

#[test]
fn a_port_is_open_for_its_own_protocol_only() {
    let bed = Testbed::with_pods(2);
    bed.apply(&[Service::new("web", "10.233.10.70")
        .node_port(30070)
        .to(&bed.pods[..1])]);
    let node_port = bed.node.at(30070);
    bed.outside.dial(&node_port).answer();
    let udp = bed
        .outside
        .dial(&node_port)
        .over(Protocol::Udp)
        .impatiently();
    assert_eq!(udp.once(), Outcome::Refused);
}

#[test]
fn several_ports_of_a_service_are_apart() {
    let bed = Testbed::with_pods(3);
    let service = Service::new("web", "10.233.10.70")
        .to(&bed.pods[..1])
        .port(Protocol::Tcp, 443)
        .to(&bed.pods[1..2]);
    bed.apply(&[service]);
    bed.pod(3)
        .dial("10.233.10.70:80")
        .times(20)
        .assert_only(&["pod-1"]);
    bed.pod(3)
        .dial("10.233.10.70:443")
        .times(20)
        .assert_only(&["pod-2"]);
}

#[test]
fn sctp_associations_are_spread_evenly() {
    if !Protocol::Sctp.is_supported() {
        return skip(
            Lack::Kernel,
            "this kernel has no SCTP (socket: protocol not supported)",
        );
    }
    let bed = Testbed::with_pods(3);
    let service = Service::new("signal", "10.233.10.70")
        .over(Protocol::Sctp)
        .node_port(30070)
        .to(&bed.pods[..2]);
    bed.apply(&[service]);
    let tally = bed
        .pod(3)
        .dial("10.233.10.70:80")
        .over(Protocol::Sctp)
        .times(200);
    tally.assert_even_over(&["pod-1", "pod-2"]);
    bed.outside
        .dial(&bed.node.at(30070))
        .over(Protocol::Sctp)
        .answer();
}

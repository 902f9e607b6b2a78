//! Names of others.

use std::time::{Duration, Instant};

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record, RecordType};

use super::server::{Server, question};
use crate::support::netns::Namespace;

/// A server upstream at 127.0.0.2 that knows `*.test` and nothing else, and counts.
fn upstream(namespace: &Namespace, address: &'static str) {
    namespace.enter(|| {
        let socket = std::net::UdpSocket::bind((address, 53)).unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
                let mut message = Message::from_vec(&buffer[..length]).unwrap();
                message.metadata.message_type = MessageType::Response;
                message.edns = None;
                let name = message.queries[0].name().clone();
                let text = name.to_string();
                if text.starts_with("refuse.") {
                    message.metadata.response_code = ResponseCode::Refused;
                } else if text.ends_with(".test.") {
                    message.metadata.truncation = text.starts_with("cut.");
                    let data = RData::A(A::new(192, 0, 2, 1));
                    message.add_answer(Record::from_rdata(name, 60, data));
                } else {
                    message.metadata.response_code = ResponseCode::NXDomain;
                }
                socket.send_to(&message.to_vec().unwrap(), peer).unwrap();
            }
        });
    });
}

fn namespace() -> Namespace {
    let namespace = Namespace::new();
    namespace.ip(&["link set lo up".to_owned()]);
    namespace
}

#[test]
fn names_of_others_are_asked_for_upstream_and_those_of_the_cluster_never() {
    let namespace = namespace();
    upstream(&namespace, "127.0.0.2");
    // The first server does not exist.
    let flags = ["--upstream", "127.0.0.9", "--upstream", "127.0.0.2"];
    let server = Server::within(namespace, super::CLUSTER, &["127.0.0.1"], &flags);
    server.holds(&[
        ("www.test.", "A", "NOERROR www.test. A 192.0.2.1"),
        ("www.example.", "A", "NXDOMAIN"),
        (
            "external.testns.svc",
            "A",
            "NOERROR ext.interwebs.test. A 192.0.2.1 | external.testns.svc CNAME \
             ext.interwebs.test.",
        ),
        ("nosuch.testns.svc", "A", "NXDOMAIN soa cluster.local."),
        ("refuse.test.", "A", "REFUSED"),
    ]);
    let start = Instant::now();
    server.holds(&[("www.test.", "A", "NOERROR www.test. A 192.0.2.1")]);
    assert!(start.elapsed() < Duration::from_millis(100), "remembered");
    let metrics = server.metrics();
    assert!(metrics.contains("coredns_cache_hits_total 1"), "{metrics}");
    assert!(!metrics.contains("nosuch"), "{metrics}");
}

/// The server upstream answers over UDP alone.
#[test]
fn what_upstream_cut_off_is_marked_as_cut_off_behind_an_alias_too() {
    let namespace = namespace();
    upstream(&namespace, "127.0.0.2");
    let alias = "{apiVersion: v1, kind: Service, metadata: {name: alias}, spec: {type: \
                 ExternalName, externalName: cut.test}}";
    let server = Server::within(
        namespace,
        alias,
        &["127.0.0.1"],
        &["--upstream", "127.0.0.2"],
    );
    for name in ["alias.default.svc.cluster.local.", "cut.test."] {
        let answer = server.ask_message(&question(name, RecordType::A, Some(1232)));
        assert!(answer.metadata.truncation, "{name}");
        let last = answer.answers.last().unwrap();
        assert_eq!(last.to_string(), "cut.test. 60 IN A 192.0.2.1");
    }
}

#[test]
fn nobody_upstream_is_a_failure_not_a_missing_name() {
    let server = Server::with(super::CLUSTER, &["--upstream", "127.0.0.9"]);
    server.holds(&[("www.test.", "A", "SERVFAIL")]);
    let got = server.ask("external.testns.svc", "A");
    assert_eq!(
        got,
        "SERVFAIL external.testns.svc CNAME ext.interwebs.test."
    );
}

#[test]
fn an_upstream_that_leads_back_is_noticed() {
    let server = Server::with(super::CLUSTER, &["--upstream", "127.0.0.1"]);
    assert_eq!(
        server.ask("www.test.", "A"),
        "REFUSED",
        "our own address is left out"
    );
    let namespace = namespace();
    let all = ["0.0.0.0"];
    let server = Server::within(
        namespace,
        super::CLUSTER,
        &all,
        &["--upstream", "127.0.0.3"],
    );
    let start = Instant::now();
    while !server.log().contains("send questions back") {
        assert!(start.elapsed() < Duration::from_secs(5), "{}", server.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(server.ask("www.test.", "A"), "SERVFAIL");
    server.holds(&[(
        "svc1.testns.svc",
        "A",
        "NOERROR svc1.testns.svc A 10.0.0.11",
    )]);
}

#[test]
fn the_search_of_a_pod_is_finished_for_it() {
    let namespace = namespace();
    upstream(&namespace, "127.0.0.2");
    // The pod is at the address that questions come from.
    let pod = "{apiVersion: v1, kind: Service, metadata: {name: pods}, spec: {clusterIP: None, \
               selector: {app: a}, ports: [{port: 80}]}}\n---\n{apiVersion: v1, kind: Pod, \
               metadata: {name: a, labels: {app: a}}, spec: {containers: [{name: c, image: i}]}, \
               status: {podIP: 127.0.0.1}}";
    let manifests = format!("{}\n---\n{pod}", super::CLUSTER);
    let flags = [
        "--upstream",
        "127.0.0.2",
        "--dns-autopath",
        "--resolv-conf",
        "/dev/null",
    ];
    let server = Server::within(namespace, &manifests, &["127.0.0.1"], &flags);
    server.holds(&[
        (
            "pods.default.svc",
            "A",
            "NOERROR pods.default.svc A 127.0.0.1",
        ),
        (
            "svc1.testns.default.svc",
            "A",
            "NOERROR svc1.testns.default.svc CNAME svc1.testns.svc | svc1.testns.svc A 10.0.0.11",
        ),
        (
            "www.test.default.svc",
            "A",
            "NOERROR www.test. A 192.0.2.1 | www.test.default.svc CNAME www.test.",
        ),
        (
            "www.example.default.svc",
            "A",
            "NXDOMAIN soa cluster.local.",
        ),
        // Not the first domain of this pod's search.
        ("www.test.svc", "A", "NXDOMAIN soa cluster.local."),
        ("www.test.testns.svc", "A", "NXDOMAIN soa cluster.local."),
    ]);
}

//! Section 2.4: headless Services.

use std::collections::BTreeMap;

use hickory_proto::rr::RecordType;

use super::server::{Server, question};

#[test]
fn addresses_of_ready_endpoints() {
    Server::new(super::CLUSTER).holds(&[
        (
            "hdls1.testns.svc",
            "A",
            "NOERROR hdls1.testns.svc A 172.0.0.2 | hdls1.testns.svc A 172.0.0.3 | \
             hdls1.testns.svc A 172.0.0.4 | hdls1.testns.svc A 172.0.0.5",
        ),
        (
            "hdls1.testns.svc",
            "AAAA",
            "NOERROR hdls1.testns.svc AAAA 5678:abcd::1 | hdls1.testns.svc AAAA 5678:abcd::2",
        ),
        (
            "hdlsprtls.testns.svc",
            "A",
            "NOERROR hdlsprtls.testns.svc A 172.0.0.20",
        ),
        ("hdlsprtls.testns.svc", "SRV", "NOERROR soa cluster.local."),
        ("svc-unready.testns.svc", "A", "NXDOMAIN soa cluster.local."),
        (
            "172-0-0-30.svc-unready.testns.svc",
            "A",
            "NXDOMAIN soa cluster.local.",
        ),
        (
            "not-ready.hdls1.testns.svc",
            "A",
            "NXDOMAIN soa cluster.local.",
        ),
    ]);
}

#[test]
fn names_of_endpoints() {
    Server::new(super::CLUSTER).holds(&[
        (
            "172-0-0-2.hdls1.testns.svc",
            "A",
            "NOERROR 172-0-0-2.hdls1.testns.svc A 172.0.0.2",
        ),
        (
            "172-0-0-2.hdls1.testns.svc",
            "AAAA",
            "NOERROR soa cluster.local.",
        ),
        (
            "5678-abcd--1.hdls1.testns.svc",
            "AAAA",
            "NOERROR 5678-abcd--1.hdls1.testns.svc AAAA 5678:abcd::1",
        ),
        (
            "dup-name.hdls1.testns.svc",
            "A",
            "NOERROR dup-name.hdls1.testns.svc A 172.0.0.4 | dup-name.hdls1.testns.svc A 172.0.0.5",
        ),
        (
            "172-0-0-20.hdlsprtls.testns.svc",
            "A",
            "NOERROR 172-0-0-20.hdlsprtls.testns.svc A 172.0.0.20",
        ),
        (
            "bogusendpoint.hdls1.testns.svc",
            "A",
            "NXDOMAIN soa cluster.local.",
        ),
    ]);
}

#[test]
fn ports_of_endpoints() {
    let srv =
        |label: &str| format!("_http._tcp.hdls1.testns.svc SRV 0 16 80 {label}.hdls1.testns.svc");
    let labels = [
        "172-0-0-2",
        "172-0-0-3",
        "5678-abcd--1",
        "5678-abcd--2",
        "dup-name",
    ];
    let expected = format!(
        "NOERROR {} + {}",
        labels.map(srv).join(" | "),
        [
            "172-0-0-2.hdls1.testns.svc A 172.0.0.2",
            "172-0-0-3.hdls1.testns.svc A 172.0.0.3",
            "5678-abcd--1.hdls1.testns.svc AAAA 5678:abcd::1",
            "5678-abcd--2.hdls1.testns.svc AAAA 5678:abcd::2",
            "dup-name.hdls1.testns.svc A 172.0.0.4",
            "dup-name.hdls1.testns.svc A 172.0.0.5",
        ]
        .join(" | ")
    );
    let server = Server::new(super::CLUSTER);
    server.holds(&[("_http._tcp.hdls1.testns.svc", "SRV", &expected)]);
}

#[test]
fn every_endpoint_comes_first_as_often_as_the_others() {
    let server = Server::new(super::CLUSTER);
    let mut first: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..400 {
        let name = "hdls1.testns.svc.cluster.local.";
        let answer = server.ask_message(&question(name, RecordType::A, None));
        *first.entry(answer.answers[0].data.to_string()).or_default() += 1;
    }
    assert_eq!(first.len(), 4, "{first:?}");
    // Five standard deviations around 100.
    assert!(
        first.values().all(|count| (57..=143).contains(count)),
        "{first:?}"
    );
}

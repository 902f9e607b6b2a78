//! Section 2.2: the version of the schema.

use hickory_proto::rr::RecordType;

use super::server::{Server, question};

#[test]
fn the_version_is_told() {
    let server = Server::new(super::CLUSTER);
    server.holds(&[
        ("dns-version", "TXT", "NOERROR dns-version TXT 1.1.0"),
        ("dns-version", "A", "NOERROR soa cluster.local."),
    ]);
    let answer = server.ask_message(&question(
        "dns-version.cluster.local.",
        RecordType::TXT,
        None,
    ));
    assert_eq!(answer.answers[0].ttl, 28800);
    assert!(answer.edns.is_none(), "nobody asked for EDNS");
}

//! Names that do not exist, and names without records of the type.

use super::server::Server;

#[test]
fn a_name_that_is_there_has_no_data_and_another_does_not_exist() {
    let server = Server::new(super::CLUSTER);
    let none = "NOERROR soa cluster.local.";
    let unknown = "NXDOMAIN soa cluster.local.";
    server.holds(&[
        ("svc0.testns.svc", "A", unknown),
        ("svc0.testns.svc", "AAAA", unknown),
        ("svc0.svc-nons.svc", "A", unknown),
        ("svc0.svc-nons.svc", "TXT", unknown),
        ("svc1.nsnoexist.svc", "A", unknown),
        ("svc1.testns.svc", "TXT", none),
        ("svc1.testns.svc", "MX", none),
        ("svc1.testns.svc", "HINFO", none),
        ("svc1.testns.svc", "SOA", none),
        ("svc1.testns.svc", "PTR", none),
        ("bogusendpoint.svc0.testns.svc", "A", unknown),
        ("svc", "A", none),
        ("pod", "A", none),
        ("testns.svc", "A", none),
        ("testns.svc", "NS", none),
        ("svc", "NS", none),
        ("foo", "NS", unknown),
        ("foo.svc", "NS", unknown),
        ("example.org", "PTR", unknown),
        ("100.0.0.10", "PTR", unknown),
        ("svc1.testns.pood", "A", unknown),
        ("a.b.c.svc1.testns.svc", "A", unknown),
        ("svc1\\.testns.svc", "A", unknown),
        ("svc1.testns\\.svc.svc", "A", unknown),
    ]);
}

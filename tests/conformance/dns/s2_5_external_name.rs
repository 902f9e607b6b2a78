//! Section 2.5: Services that are other names.

use super::server::Server;

#[test]
fn an_alias_is_told_and_followed_within_the_zone() {
    Server::new(super::CLUSTER).holds(&[
        (
            "external.testns.svc",
            "CNAME",
            "NOERROR external.testns.svc CNAME ext.interwebs.test.",
        ),
        (
            "external.testns.svc",
            "A",
            "NOERROR external.testns.svc CNAME ext.interwebs.test.",
        ),
        (
            "external-to-service.testns.svc",
            "A",
            "NOERROR external-to-service.testns.svc CNAME svc1.testns.svc | svc1.testns.svc A \
             10.0.0.11",
        ),
        ("external.testns.svc", "SRV", "NOERROR soa cluster.local."),
        ("svc1.testns.svc", "CNAME", "NOERROR soa cluster.local."),
        (
            "endpoint.external.testns.svc",
            "CNAME",
            "NXDOMAIN soa cluster.local.",
        ),
        (
            "sub.sub.external.testns.svc",
            "CNAME",
            "NXDOMAIN soa cluster.local.",
        ),
        (
            "circle.testns.svc",
            "A",
            "NOERROR circle.testns.svc CNAME elcric.testns.svc",
        ),
    ]);
}

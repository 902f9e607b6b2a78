//! From addresses to names.

use super::server::Server;

#[test]
fn addresses_have_names() {
    let flags = [
        "--no-forward",
        "--dns-reverse",
        "10.0.0.0/24",
        "--dns-reverse",
        "172.0.0.0/8",
    ];
    let flags = [&flags[..], &["--dns-reverse", "5678:abcd::/64"]].concat();
    let server = Server::with(super::CLUSTER, &flags);
    let v6 = format!("1.{}d.c.b.a.8.7.6.5.ip6.arpa.", "0.".repeat(23));
    server.holds(&[
        (
            "11.0.0.10.in-addr.arpa.",
            "PTR",
            "NOERROR 11.0.0.10.in-addr.arpa. PTR svc1.testns.svc",
        ),
        (
            "1.0.0.172.in-addr.arpa.",
            "PTR",
            "NOERROR 1.0.0.172.in-addr.arpa. PTR ep1a.svc1.testns.svc",
        ),
        (
            "4.0.0.172.in-addr.arpa.",
            "PTR",
            "NOERROR 4.0.0.172.in-addr.arpa. PTR dup-name.hdls1.testns.svc",
        ),
        (
            &v6,
            "PTR",
            &format!("NOERROR {v6} PTR 5678-abcd--1.hdls1.testns.svc"),
        ),
        (
            "101.0.0.10.in-addr.arpa.",
            "PTR",
            "NXDOMAIN soa 0.0.10.in-addr.arpa.",
        ),
        (
            "6.0.0.172.in-addr.arpa.",
            "PTR",
            "NXDOMAIN soa 172.in-addr.arpa.",
        ),
        (
            "11.0.0.10.in-addr.arpa.",
            "A",
            "NOERROR soa 0.0.10.in-addr.arpa.",
        ),
        (
            "svc1.testns.svc.0.0.10.in-addr.arpa.",
            "A",
            "NXDOMAIN soa 0.0.10.in-addr.arpa.",
        ),
        (
            "0.0.10.in-addr.arpa.",
            "A",
            "NOERROR soa 0.0.10.in-addr.arpa.",
        ),
        ("1.0.0.11.in-addr.arpa.", "PTR", "REFUSED"),
    ]);
}

#[test]
fn an_endpoint_of_two_services_has_a_name_in_each() {
    let service = |name: &str| {
        format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: testns}}, \
             spec: {{clusterIP: None, ports: [{{name: http, port: 80}}]}}}}\n---\n{{apiVersion: \
             discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: {name}-a, namespace: \
             testns, labels: {{kubernetes.io/service-name: {name}}}}}, addressType: IPv4, ports: \
             [{{name: http, port: 80}}], endpoints: [{{addresses: [172.0.0.99], hostname: \
             double-ep}}]}}\n---\n"
        )
    };
    let manifests = service("svc1") + &service("svc2");
    Server::new(&manifests).holds(&[(
        "99.0.0.172.in-addr.arpa.",
        "PTR",
        "NOERROR 99.0.0.172.in-addr.arpa. PTR double-ep.svc1.testns.svc | \
         99.0.0.172.in-addr.arpa. PTR double-ep.svc2.testns.svc",
    )]);
}

#[test]
fn without_zones_of_ours_known_addresses_are_answered_and_others_are_not_ours() {
    let server = Server::new(super::CLUSTER);
    server.holds(&[
        (
            "11.0.0.10.in-addr.arpa.",
            "PTR",
            "NOERROR 11.0.0.10.in-addr.arpa. PTR svc1.testns.svc",
        ),
        ("101.0.0.10.in-addr.arpa.", "PTR", "REFUSED"),
    ]);
}

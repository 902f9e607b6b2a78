//! The zone's own name.

use hickory_proto::rr::{RData, RecordType};

use super::server::{Server, question};

#[test]
fn the_zone_names_its_authority_and_its_servers() {
    let server = Server::new(super::CLUSTER);
    let none = "NOERROR soa cluster.local.";
    server.holds(&[
        (
            "cluster.local.",
            "NS",
            "NOERROR cluster.local. NS ns.dns + ns.dns A 127.0.0.1 | ns.dns AAAA ::1",
        ),
        ("ns.dns", "A", "NOERROR ns.dns A 127.0.0.1"),
        ("ns.dns", "AAAA", "NOERROR ns.dns AAAA ::1"),
        ("dns", "A", none),
        ("cluster.local.", "A", none),
        ("cluster.local.", "HINFO", none),
        ("cluster.local.", "SRV", none),
    ]);
    let answer = server.ask_message(&question("Cluster.local.", RecordType::SOA, None));
    let record = &answer.answers[0];
    assert_eq!(record.name.to_string(), "Cluster.local.");
    let RData::SOA(soa) = &record.data else {
        panic!("{record}")
    };
    assert_eq!(soa.mname.to_string(), "ns.dns.Cluster.local.");
    assert_eq!(
        (soa.refresh, soa.retry, soa.expire, soa.minimum),
        (7200, 1800, 86400, 5)
    );
    assert!(answer.metadata.authoritative);
}

#[test]
fn a_server_behind_a_service_is_called_by_its_name() {
    let manifest = "{apiVersion: v1, kind: Service, metadata: {name: kube-dns, namespace: \
                    kube-system}, spec: {clusterIP: 10.0.0.10, ports: [{name: dns, port: 53, \
                    protocol: UDP}]}}\n---\n{apiVersion: discovery.k8s.io/v1, kind: \
                    EndpointSlice, metadata: {name: kube-dns-a, namespace: kube-system, labels: \
                    {kubernetes.io/service-name: kube-dns}}, addressType: IPv4, ports: [{name: \
                    dns, port: 53, protocol: UDP}], endpoints: [{addresses: [172.0.0.100]}]}";
    let namespace = crate::support::netns::Namespace::new();
    namespace.ip(&[
        "link set lo up".to_owned(),
        "address add 172.0.0.100/32 dev lo".to_owned(),
    ]);
    let listen = ["127.0.0.1", "172.0.0.100"];
    let server = Server::within(namespace, manifest, &listen, &["--no-forward"]);
    server.holds(&[(
        "cluster.local.",
        "NS",
        "NOERROR cluster.local. NS kube-dns.kube-system.svc + kube-dns.kube-system.svc A 10.0.0.10",
    )]);
}

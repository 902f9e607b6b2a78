//! What flags of the zone change.

use super::server::Server;

const UNKNOWN: &str = "NXDOMAIN soa cluster.local.";
const NONE: &str = "NOERROR soa cluster.local.";

#[test]
fn other_namespaces_do_not_exist_where_some_are_named() {
    let flags = ["--no-forward", "--dns-namespace", "testns"];
    let flags = [&flags[..], &["--dns-reverse", "10.240.0.0/24"]].concat();
    Server::with(super::CLUSTER, &flags).holds(&[
        (
            "svc1.testns.svc",
            "A",
            "NOERROR svc1.testns.svc A 10.0.0.11",
        ),
        ("pods.podns.svc", "A", UNKNOWN),
        ("podns.svc", "A", UNKNOWN),
        ("10-240-0-1.podns.pod", "A", UNKNOWN),
        (
            "1.0.240.10.in-addr.arpa.",
            "PTR",
            "NXDOMAIN soa 0.240.10.in-addr.arpa.",
        ),
    ]);
}

#[test]
fn a_service_without_endpoints_does_not_exist_where_that_is_wanted() {
    let flags = ["--no-forward", "--dns-ignore-empty-service"];
    Server::with(super::CLUSTER, &flags).holds(&[
        ("svcempty.testns.svc", "A", UNKNOWN),
        ("_http._tcp.svcempty.testns.svc", "SRV", UNKNOWN),
        (
            "svc1.testns.svc",
            "A",
            "NOERROR svc1.testns.svc A 10.0.0.11",
        ),
        (
            "external.testns.svc",
            "CNAME",
            "NOERROR external.testns.svc CNAME ext.interwebs.test.",
        ),
    ]);
}

/// A headless Service with a pod behind each address.
fn with_pods(pods: &[(&str, &str, &str)]) -> String {
    let endpoints: Vec<String> = pods
        .iter()
        .map(|(address, pod, zone)| {
            format!(
                "{{addresses: [{address}], zone: {zone}, targetRef: {{kind: Pod, name: {pod}}}}}"
            )
        })
        .collect();
    format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: hdls}}, spec: {{clusterIP: None, \
         ports: [{{name: http, port: 80}}]}}}}\n---\n{{apiVersion: v1, kind: Service, metadata: \
         {{name: clstr}}, spec: {{clusterIP: 10.0.0.5, ports: [{{name: http, port: 80}}]}}}}\n---\
         \n{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: hdls-a, \
         labels: {{kubernetes.io/service-name: hdls}}}}, addressType: IPv4, ports: [{{name: http, \
         port: 80}}], endpoints: [{}]}}",
        endpoints.join(", ")
    )
}

#[test]
fn endpoints_are_named_by_their_pod_where_that_is_wanted() {
    let long = "p".repeat(64);
    let manifests = with_pods(&[("172.0.0.1", "hello-abcde", "a"), ("172.0.0.2", &long, "a")]);
    let flags = ["--no-forward", "--dns-endpoint-pod-names"];
    let server = Server::with(&manifests, &flags);
    server.holds(&[
        (
            "hello-abcde.hdls.default.svc",
            "A",
            "NOERROR hello-abcde.hdls.default.svc A 172.0.0.1",
        ),
        ("172-0-0-1.hdls.default.svc", "A", UNKNOWN),
        (
            "172-0-0-2.hdls.default.svc",
            "A",
            "NOERROR 172-0-0-2.hdls.default.svc A 172.0.0.2",
        ),
    ]);
    let without = Server::new(&manifests);
    without.holds(&[("hello-abcde.hdls.default.svc", "A", UNKNOWN)]);
}

#[test]
fn endpoints_of_a_zone_can_be_asked_for() {
    let manifests = with_pods(&[
        ("172.0.0.1", "a", "us-west-2a"),
        ("172.0.0.2", "b", "us-west-2b"),
        ("172.0.0.3", "c", "us-west-2b"),
        ("172.0.0.4", "d", "corp.example.com"),
    ]);
    let server = Server::with(&manifests, &["--no-forward", "--dns-zonal"]);
    let name = |zone: &str| format!("{zone}._zone.hdls.default.svc");
    let addresses = |zone: &str, numbers: &[u8]| {
        let records: Vec<String> = numbers
            .iter()
            .map(|n| format!("{} A 172.0.0.{n}", name(zone)))
            .collect();
        format!("NOERROR {}", records.join(" | "))
    };
    for (zone, numbers) in [
        ("us-west-2a.pin", &[1][..]),
        ("us-west-2b.pin", &[2, 3]),
        ("corp.example.com.pin", &[4]),
        ("US-west-2a.Prefer", &[1]),
        ("us-west-2c.prefer", &[1, 2, 3, 4]),
    ] {
        assert_eq!(server.ask(&name(zone), "A"), addresses(zone, numbers));
    }
    let srv = |number: u8| {
        let name = name("us-west-2b.pin");
        format!("{name} SRV 0 50 80 172-0-0-{number}.hdls.default.svc")
    };
    let extra = |n: u8| format!("172-0-0-{n}.hdls.default.svc A 172.0.0.{n}");
    let expected = format!(
        "NOERROR {} | {} + {} | {}",
        srv(2),
        srv(3),
        extra(2),
        extra(3)
    );
    server.holds(&[
        (&name("us-west-2c.pin"), "A", NONE),
        (&name("us-west-2c.pin"), "TXT", NONE),
        (&name("us-west-2c.prefer"), "TXT", NONE),
        (&name("us-west-2a.florp"), "A", UNKNOWN),
        ("us-west-2a.pin._zone.ghost.default.svc", "A", UNKNOWN),
        ("us-west-2a.pin._zone.clstr.default.svc", "A", UNKNOWN),
        ("us-west-2a.pin._zone.hdls.default.pod", "A", UNKNOWN),
        (&name("us-west-2b.pin"), "SRV", &expected),
    ]);
    // An endpoint that moves to another zone and changes in nothing else.
    let moved = manifests.replace("zone: corp.example.com", "zone: us-west-2c");
    server.write("a.yaml", &moved);
    super::live::until(
        &server,
        &name("us-west-2c.pin"),
        &addresses("us-west-2c.pin", &[4]),
    );
    let off = Server::new(&manifests);
    off.holds(&[(&name("us-west-2a.pin"), "A", UNKNOWN)]);
}

//! What the examples show.

use super::server::Server;

/// Pods as a StatefulSet or a Deployment makes them.
fn pod(name: &str, app: &str, ip: &str, more: &str) -> String {
    format!(
        "\n---\n{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, labels: {{app: {app}}}}}, \
         spec: {{{more}containers: [{{name: c, image: i}}]}}, status: {{podIP: {ip}}}}}"
    )
}

#[test]
fn a_headless_service_answers_with_every_pod() {
    let mut manifests = include_str!("../../../examples/myhead.yml").to_owned();
    for number in 1..=3 {
        manifests += &pod(
            &format!("mydp-{number}"),
            "webui",
            &format!("10.233.65.{number}"),
            "",
        );
    }
    Server::new(&manifests).holds(&[(
        "myhead.default.svc",
        "A",
        "NOERROR myhead.default.svc A 10.233.65.1 | myhead.default.svc A 10.233.65.2 | \
         myhead.default.svc A 10.233.65.3",
    )]);
}

#[test]
fn members_of_a_stateful_set_find_each_other_by_name() {
    let mut manifests = include_str!("../../../examples/cassandra.yml").to_owned();
    for number in 0..3 {
        let name = format!("cassandra-{number}");
        let more = format!("hostname: {name}, subdomain: cassandra, ");
        manifests += &pod(
            &name,
            "cassandra",
            &format!("10.233.65.{}", number + 1),
            &more,
        );
    }
    let server = Server::new(&manifests);
    for number in 0..3 {
        let name = format!("cassandra-{number}.cassandra.default.svc");
        let address = format!("10.233.65.{}", number + 1);
        assert_eq!(
            server.ask(&name, "A"),
            format!("NOERROR {name} A {address}")
        );
    }
    server.holds(&[(
        "2.65.233.10.in-addr.arpa.",
        "PTR",
        "NOERROR 2.65.233.10.in-addr.arpa. PTR cassandra-1.cassandra.default.svc",
    )]);
    let text = server.namespace.run(
        crate::support::program::PROGRAM,
        &[
            "dns",
            "query",
            "cassandra-0.cassandra.default.svc.cluster.local",
            "-s",
            "127.0.0.1",
        ],
    );
    let from = "; endpoint 10.233.65.1 (Pod cassandra-0) of Service default/cassandra";
    assert!(text.contains(from), "{text}");
}

#[test]
fn an_external_name_is_an_alias() {
    Server::new(include_str!("../../../examples/external-db.yml")).holds(&[(
        "external-db.default.svc",
        "CNAME",
        "NOERROR external-db.default.svc CNAME db.external.com.",
    )]);
}

//! The whole zone, for those who may have it.

use super::server::Server;

#[test]
fn the_zone_goes_to_those_who_may_have_it() {
    let closed = Server::new(super::CLUSTER);
    let dig = |server: &Server| {
        server.namespace.run(
            "dig",
            &[
                "@127.0.0.1",
                "cluster.local",
                "AXFR",
                "+noall",
                "+answer",
                "+comments",
            ],
        )
    };
    assert!(dig(&closed).contains("Transfer failed"));
    let flags = ["--no-forward", "--dns-transfer-to", "127.0.0.0/8"];
    let open = Server::with(super::CLUSTER, &flags);
    let text = dig(&open);
    let records: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("\tIN\t") || line.contains(" IN "))
        .collect();
    assert!(
        records.first().is_some_and(|line| line.contains("SOA")),
        "{text}"
    );
    assert!(
        records.last().is_some_and(|line| line.contains("SOA")),
        "{text}"
    );
    for wanted in [
        "svc1.testns.svc.cluster.local.",
        "dup-name.hdls1.testns",
        "ext.interwebs.test.",
    ] {
        assert!(text.contains(wanted), "{text}");
    }
    assert!(!text.contains("svc-unready"), "{text}");
}

/// One Service of each kind, and everything that is said about them.
const SMALL: &str = "
{apiVersion: v1, kind: Service, metadata: {name: alias}, spec: {type: ExternalName, externalName: ext.interwebs.test}}
---
{apiVersion: v1, kind: Service, metadata: {name: both}, spec: {clusterIP: 10.0.0.3, clusterIPs: [10.0.0.3, '1234:abcd::3'], ipFamilies: [IPv4, IPv6], ipFamilyPolicy: RequireDualStack, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: hdls}, spec: {clusterIP: None, ports: [{name: http, port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: hdls-a, labels: {kubernetes.io/service-name: hdls}}, addressType: IPv4, ports: [{name: http, port: 80}], endpoints: [{addresses: [172.0.0.2]}, {addresses: [172.0.0.4], hostname: db}]}
---
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {clusterIP: 10.0.0.11, ports: [{port: 80}]}}";

const RECORDS: &str = "\
cluster.local. NS ns.dns
ns.dns A 127.0.0.1
ns.dns AAAA ::1
alias.default.svc CNAME ext.interwebs.test.
both.default.svc A 10.0.0.3
both.default.svc AAAA 1234:abcd::3
both.default.svc SRV 0 100 80 both.default.svc
_http._tcp.both.default.svc SRV 0 100 80 both.default.svc
hdls.default.svc A 172.0.0.2
172-0-0-2.hdls.default.svc A 172.0.0.2
_http._tcp.hdls.default.svc SRV 0 50 80 172-0-0-2.hdls.default.svc
hdls.default.svc A 172.0.0.4
db.hdls.default.svc A 172.0.0.4
_http._tcp.hdls.default.svc SRV 0 50 80 db.hdls.default.svc
web.default.svc A 10.0.0.11
web.default.svc SRV 0 100 80 web.default.svc";

#[test]
fn a_transfer_is_the_zone_record_by_record() {
    let flags = ["--no-forward", "--dns-transfer-to", "127.0.0.0/8"];
    let server = Server::with(SMALL, &flags);
    let dig = |zone: &str, kind: &str| {
        let args = ["@127.0.0.1", zone, kind, "+noall", "+answer"];
        let text = server.namespace.run("dig", &args);
        let records = text
            .lines()
            .filter(|line| line.split_whitespace().nth(2) == Some("IN"));
        records
            .map(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                let text = format!("{} {}", fields[0], fields[3..].join(" "));
                text.replace(".cluster.local.", "")
            })
            .collect::<Vec<_>>()
    };
    let all = dig("cluster.local", "AXFR");
    let [first, between @ .., last] = all.as_slice() else {
        panic!("{all:?}")
    };
    assert_eq!(first, last);
    let mut between = between.to_vec();
    let mut wanted: Vec<&str> = RECORDS.lines().collect();
    between.sort();
    wanted.sort_unstable();
    assert_eq!(between, wanted);
    let serial = first.split(' ').nth(4).unwrap();
    assert!(first.contains(" SOA "), "{first}");
    // Who has the zone as it is gets its SOA; who has another one, all of it.
    assert_eq!(
        dig("cluster.local", &format!("IXFR={serial}")),
        std::slice::from_ref(first)
    );
    assert_eq!(dig("cluster.local", "IXFR=1"), all);
    let foreign = ["@127.0.0.1", "+tcp", "example.com", "AXFR"];
    let text = server.namespace.run("dig", &foreign);
    assert!(text.contains("Transfer failed"), "{text}");
}

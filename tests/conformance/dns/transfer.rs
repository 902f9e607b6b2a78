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

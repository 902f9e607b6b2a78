//! Names of pods, in the three modes of CoreDNS.

use super::server::Server;

#[test]
fn pods_are_named_as_the_mode_says() {
    let unknown = "NXDOMAIN soa cluster.local.";
    let foo = "NOERROR 10-240-0-1.podns.pod A 10.240.0.1";
    let table = [
        ("disabled", unknown, unknown),
        ("insecure", foo, "NOERROR 172-0-0-2.podns.pod A 172.0.0.2"),
        ("verified", foo, unknown),
    ];
    for (mode, known, nobody) in table {
        let server = Server::with(super::CLUSTER, &["--no-forward", "--dns-pods", mode]);
        server.holds(&[
            ("10-240-0-1.podns.pod", "A", known),
            ("172-0-0-2.podns.pod", "A", nobody),
            ("blah.podns.pod", "A", unknown),
            ("blah.podns.pod", "HINFO", unknown),
            ("10-240-0-1.pod-nons.pod", "A", unknown),
            ("podns.pod", "A", "NOERROR soa cluster.local."),
            ("pod-nons.pod", "A", unknown),
        ]);
    }
}

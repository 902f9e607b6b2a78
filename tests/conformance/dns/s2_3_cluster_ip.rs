//! Section 2.3: Services with a cluster IP.

use super::server::Server;

#[test]
fn addresses() {
    Server::new(super::CLUSTER).holds(&[
        (
            "svc1.testns.svc",
            "A",
            "NOERROR svc1.testns.svc A 10.0.0.11",
        ),
        (
            "svcempty.testns.svc",
            "A",
            "NOERROR svcempty.testns.svc A 10.0.0.9",
        ),
        ("svc1.testns.svc", "AAAA", "NOERROR soa cluster.local."),
        (
            "svc6.testns.svc",
            "AAAA",
            "NOERROR svc6.testns.svc AAAA 1234:abcd::11",
        ),
        ("svc6.testns.svc", "A", "NOERROR soa cluster.local."),
        (
            "svc-dual-stack.testns.svc",
            "A",
            "NOERROR svc-dual-stack.testns.svc A 10.0.0.3",
        ),
        (
            "svc-dual-stack.testns.svc",
            "AAAA",
            "NOERROR svc-dual-stack.testns.svc AAAA 1234:abcd::3",
        ),
        (
            "ep1a.svc1.testns.svc",
            "A",
            "NOERROR ep1a.svc1.testns.svc A 172.0.0.1",
        ),
    ]);
}

#[test]
fn ports() {
    Server::new(super::CLUSTER).holds(&[
        (
            "svc1.testns.svc",
            "SRV",
            "NOERROR svc1.testns.svc SRV 0 100 80 svc1.testns.svc + svc1.testns.svc A 10.0.0.11",
        ),
        (
            "_http._tcp.svc1.testns.svc",
            "SRV",
            "NOERROR _http._tcp.svc1.testns.svc SRV 0 100 80 svc1.testns.svc + svc1.testns.svc A \
             10.0.0.11",
        ),
        (
            "_http._tcp.svcempty.testns.svc",
            "SRV",
            "NOERROR _http._tcp.svcempty.testns.svc SRV 0 100 80 svcempty.testns.svc + \
             svcempty.testns.svc A 10.0.0.9",
        ),
        (
            "_http._tcp.svc6.testns.svc",
            "SRV",
            "NOERROR _http._tcp.svc6.testns.svc SRV 0 100 80 svc6.testns.svc + svc6.testns.svc \
             AAAA 1234:abcd::11",
        ),
        (
            "svc-dual-stack.testns.svc",
            "SRV",
            "NOERROR svc-dual-stack.testns.svc SRV 0 50 80 svc-dual-stack.testns.svc + \
             svc-dual-stack.testns.svc A 10.0.0.3 | svc-dual-stack.testns.svc AAAA 1234:abcd::3",
        ),
        (
            "svc2ports.testns.svc",
            "SRV",
            "NOERROR svc2ports.testns.svc SRV 0 50 53 svc2ports.testns.svc | svc2ports.testns.svc \
             SRV 0 50 80 svc2ports.testns.svc + svc2ports.testns.svc A 10.0.0.4",
        ),
        (
            "_dns._udp.svc2ports.testns.svc",
            "SRV",
            "NOERROR _dns._udp.svc2ports.testns.svc SRV 0 100 53 svc2ports.testns.svc + \
             svc2ports.testns.svc A 10.0.0.4",
        ),
        (
            "_dns._tcp.svc2ports.testns.svc",
            "SRV",
            "NXDOMAIN soa cluster.local.",
        ),
        (
            "_http._tcp.unnamed.testns.svc",
            "SRV",
            "NXDOMAIN soa cluster.local.",
        ),
        // On the way to a port that exists.
        ("_tcp.svc1.testns.svc", "SRV", "NOERROR soa cluster.local."),
        ("_udp.svc1.testns.svc", "SRV", "NXDOMAIN soa cluster.local."),
    ]);
}

#[test]
fn case_does_not_matter_and_is_kept() {
    let zone = "cLuStEr.LoCaL.";
    let server = Server::new(super::CLUSTER);
    server.holds(&[
        (
            &format!("SvC1.TeStNs.SvC.{zone}"),
            "A",
            &format!("NOERROR SvC1.TeStNs.SvC.{zone} A 10.0.0.11"),
        ),
        (
            &format!("_HtTp._TcP.sVc1.TeStNs.SvC.{zone}"),
            "SRV",
            &format!(
                "NOERROR _HtTp._TcP.sVc1.TeStNs.SvC.{zone} SRV 0 100 80 svc1.testns.svc.{zone} + \
                 svc1.testns.svc.{zone} A 10.0.0.11"
            ),
        ),
        (
            &format!("not-a-service.testns.svc.{zone}"),
            "A",
            &format!("NXDOMAIN soa {zone}"),
        ),
    ]);
}

//! Names follow manifests.

use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use hickory_proto::rr::{RData, RecordType};

use super::server::{Server, question};

const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn until(server: &Server, name: &str, expected: &str) {
    let start = Instant::now();
    loop {
        let got = server.ask(name, "A");
        if got == expected {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{got}\n{}", server.log());
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn serial(answer: &Message) -> u32 {
    match &answer.answers[0].data {
        RData::SOA(soa) => soa.serial,
        other => panic!("{other}"),
    }
}

#[test]
fn what_changes_in_manifests_changes_in_answers() {
    let server = Server::new(super::CLUSTER);
    let soa = || server.ask_message(&question("cluster.local.", RecordType::SOA, None));
    let before = serial(&soa());
    let name = "new-svc.testns.svc";
    let service = |spec: &str| {
        format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: new-svc, namespace: testns}}, \
             spec: {{{spec}}}}}"
        )
    };
    server.write(
        "b.yaml",
        &service("clusterIP: 10.0.0.222, ports: [{port: 80}]"),
    );
    until(&server, name, "NOERROR new-svc.testns.svc A 10.0.0.222");
    assert!(serial(&soa()) > before);
    server.write(
        "b.yaml",
        &service("type: ExternalName, externalName: foo.example.com"),
    );
    until(
        &server,
        name,
        "NOERROR new-svc.testns.svc CNAME foo.example.com.",
    );
    server.write(
        "b.yaml",
        &service("type: ExternalName, externalName: bar.example.com"),
    );
    until(
        &server,
        name,
        "NOERROR new-svc.testns.svc CNAME bar.example.com.",
    );
    server.write("b.yaml", "# nothing\n");
    until(&server, name, "NXDOMAIN soa cluster.local.");
    // A mistake: what was before stays.
    server.write("b.yaml", "kind: Service");
    std::thread::sleep(Duration::from_millis(300));
    until(
        &server,
        "svc1.testns.svc",
        "NOERROR svc1.testns.svc A 10.0.0.11",
    );
}

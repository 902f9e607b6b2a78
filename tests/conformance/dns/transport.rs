//! UDP, TCP and EDNS.

use hickory_proto::op::{Edns, OpCode, ResponseCode};
use hickory_proto::rr::{DNSClass, RecordType};

use super::server::{Server, line, question};

/// A headless Service with this many endpoints, a hundred in a slice.
fn large(endpoints: usize) -> String {
    let mut text = "{apiVersion: v1, kind: Service, metadata: {name: large}, spec: {clusterIP: \
                    None, ports: [{name: http, port: 80}]}}"
        .to_owned();
    for slice in 0..endpoints.div_ceil(100) {
        let numbers = (slice * 100)..endpoints.min(slice * 100 + 100);
        let list: Vec<String> = numbers
            .map(|n| format!("{{addresses: [10.1.{}.{}]}}", n / 250, n % 250 + 1))
            .collect();
        text += &format!(
            "\n---\n{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {{name: \
             large-{slice}, labels: {{kubernetes.io/service-name: large}}}}, addressType: IPv4, \
             ports: [{{name: http, port: 80}}], endpoints: [{}]}}",
            list.join(", ")
        );
    }
    text
}

#[test]
fn what_does_not_fit_is_cut_and_whole_over_tcp() {
    let server = Server::new(&large(1000));
    let name = "large.default.svc.cluster.local.";
    for (size, least, most) in [(None, 20, 28), (Some(100), 20, 28), (Some(1232), 60, 75)] {
        let answer = server.ask_message(&question(name, RecordType::A, size));
        assert!(answer.metadata.truncation, "{size:?}");
        let count = answer.answers.len();
        assert!((least..=most).contains(&count), "{size:?}: {count}");
        assert_eq!(answer.edns.is_some(), size.is_some());
    }
    let answers = server.ask_tcp(&[
        question(name, RecordType::A, None),
        question(name, RecordType::AAAA, Some(1232)),
        question(name, RecordType::SRV, Some(1232)),
    ]);
    assert_eq!(answers[0].answers.len(), 1000);
    assert!(!answers[0].metadata.truncation);
    assert_eq!(line(&answers[1]), "NOERROR soa cluster.local.");
    assert_eq!(
        answers[2].answers.len(),
        1000 - answers[2].answers.len().abs_diff(1000)
    );
    let some = server.ask_message(&question(name, RecordType::SRV, Some(1232)));
    assert!(some.metadata.truncation && some.additionals.is_empty());
}

#[test]
fn additional_records_that_do_not_fit_are_left_out_without_a_mark() {
    let server = Server::new(&large(9));
    let name = "large.default.svc.cluster.local.";
    let answer = server.ask_message(&question(name, RecordType::SRV, Some(700)));
    assert_eq!(
        (answer.answers.len(), answer.metadata.truncation),
        (9, false)
    );
    assert!(answer.additionals.len() < 9);
}

#[test]
fn requests_that_are_not_for_us_are_told_so() {
    let server = Server::new(super::CLUSTER);
    let good = || question("svc1.testns.svc.cluster.local.", RecordType::A, Some(1232));
    let code = |message| server.ask_message(&message).metadata.response_code;
    let mut chaos = good();
    chaos.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(code(chaos), ResponseCode::Refused);
    let mut update = good();
    update.metadata.op_code = OpCode::Notify;
    assert_eq!(code(update), ResponseCode::NotImp);
    let mut twice = good();
    let query = twice.queries[0].clone();
    twice.add_query(query);
    assert_eq!(code(twice), ResponseCode::FormErr);
    let mut newer = good();
    let mut edns = Edns::new();
    edns.set_version(1);
    newer.set_edns(edns);
    let answer = server.ask_message(&newer);
    // The number has two names.
    assert_eq!(u16::from(answer.metadata.response_code), 16, "BADVERS");
    assert_eq!(
        code(question("example.com.", RecordType::A, None)),
        ResponseCode::Refused
    );
    let both = server.ask_bytes(
        "[::1]:53".parse().unwrap(),
        &good().to_vec().unwrap(),
        std::time::Duration::from_secs(5),
    );
    assert!(both.is_some(), "over IPv6");
    let metrics = server.metrics();
    assert!(
        metrics.contains("coredns_dns_requests_total{family=\"2\",proto=\"udp\",type=\"A\"} 1"),
        "{metrics}"
    );
}

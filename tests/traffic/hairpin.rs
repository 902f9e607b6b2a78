//! A pod that reaches itself through a Service sees the node as its client.

use crate::support::{Protocol, Service, Testbed};

fn bed() -> Testbed {
    let bed = Testbed::with_pods(2);
    let web = Service::new("web", "10.233.10.50")
        .load_balancer("203.0.113.50")
        .node_port(30050)
        .to(&bed.pods[..1])
        .port(Protocol::Udp, 80)
        .node_port(30050)
        .to(&bed.pods[..1]);
    bed.apply(&[web]);
    bed
}

#[test]
fn through_every_frontend() {
    let bed = bed();
    for target in ["10.233.10.50:80", "203.0.113.50:80", "192.168.10.100:30050"] {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let answer = bed.pod(1).dial(target).over(protocol).answer();
            assert_eq!(answer.server, "pod-1");
            assert_eq!(
                answer.seen.ip().to_string(),
                "10.233.65.254",
                "{target} {protocol}"
            );
        }
    }
}

#[test]
fn again_and_again() {
    bed()
        .pod(1)
        .dial("10.233.10.50:80")
        .times(100)
        .assert_only(&["pod-1"]);
}

#[test]
fn other_pods_keep_their_address() {
    let answer = bed().pod(2).dial("10.233.10.50:80").answer();
    assert!(answer.is_left_alone(), "{answer:?}");
}

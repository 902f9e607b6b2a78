//! Which endpoints serve while pods come and go.

use portolan::model::IpFamily;

use super::cluster::{describe, options, snapshot};
use super::simulator::Simulator;

/// Outcomes at the cluster IP from a pod, and at the balancer's address from outside.
fn flows(external_local: bool, endpoints: &[&str]) -> (String, String) {
    let mut described = describe("ns1/svc1", "172.30.1.1")
        .tcp("p80", 80)
        .vips(&["1.2.3.4"])
        .health_check(30000);
    if external_local {
        described = described.external_local();
    }
    let simulator = Simulator::new(
        &snapshot([described.endpoints(endpoints)]),
        &options(IpFamily::V4),
    );
    (
        simulator.tcp("10.0.0.9", "172.30.1.1:80"),
        simulator.tcp("203.0.113.2", "1.2.3.4:80"),
    )
}

const SOME_STOPPING: [&str; 5] = [
    "10.0.1.1 local",
    "10.0.1.2 local",
    "10.0.1.3 local stopping",
    "10.0.1.4 local gone",
    "10.0.1.5",
];
const LOCAL_STOPPING: [&str; 5] = [
    "10.0.1.1 local stopping",
    "10.0.1.2 local stopping",
    "10.0.1.3 local stopping",
    "10.0.1.4 local gone",
    "10.0.1.5",
];

fn pair(inside: &str, outside: &str) -> (String, String) {
    (inside.to_owned(), outside.to_owned())
}

#[test]
fn with_policy_local_terminating_endpoints_of_the_node_serve_until_they_stop() {
    assert_eq!(
        flows(true, &SOME_STOPPING),
        pair(
            "10.0.1.1:80, 10.0.1.2:80, 10.0.1.5:80",
            "10.0.1.1:80, 10.0.1.2:80"
        )
    );
    assert_eq!(
        flows(true, &LOCAL_STOPPING),
        pair("10.0.1.5:80", "10.0.1.1:80, 10.0.1.2:80, 10.0.1.3:80")
    );
    assert_eq!(
        flows(true, &["10.0.1.5 stopping"]),
        pair("10.0.1.5:80", "DROP")
    );
    assert_eq!(
        flows(true, &["10.0.1.4 local gone", "10.0.1.5 gone"]),
        pair("REJECT", "REJECT")
    );
    assert_eq!(flows(true, &[]), pair("REJECT", "REJECT"));
}

#[test]
fn with_policy_cluster_terminating_endpoints_serve_only_if_none_is_ready_anywhere() {
    assert_eq!(
        flows(false, &SOME_STOPPING),
        pair(
            "10.0.1.1:80, 10.0.1.2:80, 10.0.1.5:80",
            "10.0.1.1:80*, 10.0.1.2:80*, 10.0.1.5:80*"
        )
    );
    assert_eq!(
        flows(false, &LOCAL_STOPPING),
        pair("10.0.1.5:80", "10.0.1.5:80*")
    );
    assert_eq!(
        flows(false, &["10.0.1.1 local stopping", "10.0.1.5 stopping"]),
        pair("10.0.1.1:80, 10.0.1.5:80", "10.0.1.1:80*, 10.0.1.5:80*")
    );
    assert_eq!(
        flows(false, &["10.0.1.4 local gone", "10.0.1.5 unready"]),
        pair("REJECT", "REJECT")
    );
}

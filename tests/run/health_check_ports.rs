//! `spec.healthCheckNodePort`: how a balancer finds the nodes that have endpoints.

use std::net::TcpListener;

use serde_json::json;

use crate::agent::{Agent, Directory, get};
use crate::support::{Service, Testbed};

fn web(port: u16) -> Service {
    Service::new("web", "10.233.10.10")
        .load_balancer("203.0.113.10")
        .node_port(30080)
        .field("externalTrafficPolicy", json!("Local"))
        .field("healthCheckNodePort", json!(port))
}

/// What a balancer outside learns from the node.
fn ask(bed: &Testbed, port: u16) -> u16 {
    get(&bed.outside.namespace, &bed.node.at(port)).code
}

#[test]
fn a_balancer_learns_whether_the_node_has_endpoints() {
    let bed = Testbed::with_pods_and_far_pods(2, 1);
    let directory = Directory::new();
    directory.write("web.yaml", &[web(32000).to(&bed.pods).to(&bed.far_pods)]);
    let mut agent = Agent::start(&bed, &directory, &[]);
    let reply = get(
        &bed.outside.namespace,
        &format!("{}/any/path", bed.node.at(32000)),
    );
    assert_eq!(reply.code, 200);
    assert_eq!(
        reply.body,
        "{\n\t\"service\": {\n\t\t\"namespace\": \"default\",\n\t\t\"name\": \"web\"\n\t},\n\
         \t\"localEndpoints\": 2,\n\t\"serviceProxyHealthy\": true\n}"
    );
    for header in [
        "content-type: application/json",
        "x-content-type-options: nosniff",
        "x-load-balancing-endpoint-weight: 2",
    ] {
        assert!(reply.headers.contains(header), "{}", reply.headers);
    }
    directory.write("web.yaml", &[web(32000).to(&bed.far_pods)]);
    agent.eventually("it is sent elsewhere", |_| ask(&bed, 32000) == 503);
    directory.write("web.yaml", &[web(32000).to(&bed.pods[..1])]);
    agent.eventually("it is welcome again", |_| ask(&bed, 32000) == 200);
}

#[test]
fn ports_come_move_and_go_with_their_services() {
    let bed = Testbed::with_pods(1);
    let directory = Directory::new();
    let mut agent = Agent::start(&bed, &directory, &[]);
    assert_eq!(ask(&bed, 32000), 0);
    directory.write("web.yaml", &[web(32000).to(&bed.pods)]);
    agent.eventually("it comes", |_| ask(&bed, 32000) == 200);
    directory.write("web.yaml", &[web(32001).to(&bed.pods)]);
    agent.eventually("it moves", |_| ask(&bed, 32001) == 200);
    assert_eq!(ask(&bed, 32000), 0);
    let cluster = Service::new("web", "10.233.10.10").to(&bed.pods);
    directory.write("web.yaml", &[cluster]);
    agent.eventually("it goes", |_| ask(&bed, 32001) == 0);
}

#[test]
fn each_family_has_its_own_endpoints() {
    let bed = Testbed::with_pods(1);
    let directory = Directory::new();
    let service = web(32000).dual_stack("fd00:10:233::10");
    directory.write("web.yaml", &[service.to(&bed.pods)]);
    let _agent = Agent::start(&bed, &directory, &[]);
    let outside = &bed.outside.namespace;
    assert_eq!(get(outside, &bed.node.at(32000)).code, 200);
    assert_eq!(get(outside, &bed.node.at_v6(32000)).code, 200);
}

#[test]
fn a_port_in_use_is_told_and_taken_when_it_is_free() {
    let bed = Testbed::with_pods(1);
    let directory = Directory::new();
    directory.write("web.yaml", &[web(32000).to(&bed.pods)]);
    let take = || TcpListener::bind("0.0.0.0:32000").unwrap();
    let taken = bed.node.namespace.enter(take);
    let mut agent = Agent::start(&bed, &directory, &[]);
    assert!(
        agent.log().contains("Service default/web"),
        "{}",
        agent.log()
    );
    let failing = "portolan_health_check_ports_failing";
    assert_eq!(agent.metric(failing), Some(1.0));
    assert_eq!(
        bed.outside.dial(&bed.node.at(30080)).answer().server,
        "pod-1"
    );
    drop(taken);
    agent.eventually("it is served", |_| ask(&bed, 32000) == 200);
    agent.eventually("it is well", |agent| agent.metric(failing) == Some(0.0));
}

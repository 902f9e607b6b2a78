//! What is told of the agent: Events on the Node, metrics of latency.

use std::time::Duration;

use serde_json::{Value, json};

use crate::api_server::eventually;
use crate::cluster::{Cluster, objects};
use crate::support::Service;

const VIP: &str = "10.233.10.90:80";

fn web() -> Service {
    Service::new("web", "10.233.10.90")
}

fn events(cluster: &Cluster, reason: &str) -> Vec<Value> {
    let events = cluster.server.seen().events.into_iter();
    events.filter(|event| event["reason"] == reason).collect()
}

#[test]
fn the_node_is_told_of_the_start_and_of_rules_that_others_fight_over() {
    let cluster = Cluster::with_pods(1);
    cluster.has(&[web().to(&cluster.bed.pods)]);
    let _agent = cluster.agent(&[]);
    eventually("the start", || !events(&cluster, "Starting").is_empty());
    let start = events(&cluster, "Starting").remove(0);
    assert_eq!(start["regarding"]["kind"], "Node");
    assert_eq!(start["regarding"]["name"], "n0");
    assert_eq!(start["type"], "Normal");
    let namespace = &cluster.bed.node.namespace;
    eventually("a storm is told of", || {
        namespace.run("nft", &["flush", "ruleset"]);
        std::thread::sleep(Duration::from_millis(150));
        !events(&cluster, "RulesContested").is_empty()
    });
    assert_eq!(events(&cluster, "RulesContested")[0]["type"], "Warning");
}

#[test]
fn a_service_is_told_that_its_health_check_port_is_taken() {
    let cluster = Cluster::with_pods(1);
    let bed = &cluster.bed;
    let take = || std::net::TcpListener::bind("0.0.0.0:32000").expect("a free port");
    let taken = bed.node.namespace.enter(take);
    let local = web()
        .load_balancer("203.0.113.10")
        .field("externalTrafficPolicy", json!("Local"))
        .field("healthCheckNodePort", json!(32000));
    cluster.has(&[local.to(&bed.pods)]);
    let _agent = cluster.agent(&[]);
    let reason = "FailedToStartServiceHealthcheck";
    eventually("it is told", || !events(&cluster, reason).is_empty());
    let event = events(&cluster, reason).remove(0);
    assert_eq!(event["type"], "Warning");
    let about = ["kind", "namespace", "name"].map(|key| event["regarding"][key].clone());
    assert_eq!(about, ["Service", "default", "web"]);
    let note = event["note"].as_str().expect("a note");
    assert!(note.contains("0.0.0.0:32000"), "{note}");
    drop(taken);
}

#[test]
fn a_role_that_allows_no_events_stops_nothing() {
    let cluster = Cluster::with_pods(2);
    let bed = &cluster.bed;
    cluster.server.rules(|rules| rules.events_forbidden = true);
    cluster.has(&[web().to(&bed.pods[..1])]);
    let mut agent = cluster.agent(&[]);
    agent.eventually("it is said", |agent| {
        agent.log().contains("events on the node")
    });
    bed.pod(2).dial(VIP).times(3).assert_only(&["pod-1"]);
}

#[test]
fn issue_82378_latency_is_measured_from_the_change_and_not_for_the_first_list() {
    let cluster = Cluster::with_pods(2);
    let bed = &cluster.bed;
    let slices = |pod: usize, changed: jiff::Timestamp| {
        let mut all = objects(&[web().to(&bed.pods[pod..=pod])]);
        for object in all
            .iter_mut()
            .filter(|object| object["kind"] == "EndpointSlice")
        {
            object["metadata"]["annotations"] = json!({
                "endpoints.kubernetes.io/last-change-trigger-time": changed.to_string(),
            });
        }
        all
    };
    let now = jiff::Timestamp::now;
    cluster
        .server
        .put_all(&slices(0, now() - jiff::SignedDuration::from_hours(1)));
    let agent = cluster.agent(&[]);
    let metric = |what: &str| {
        let name = format!("kubeproxy_network_programming_duration_seconds_{what}");
        agent
            .metric(&format!("{name}{{ip_family=\"IPv4\"}}"))
            .unwrap_or_default()
    };
    assert!(metric("count") < 0.5, "the first list is no measure");
    // The change happened after the start, and two seconds ago.
    std::thread::sleep(Duration::from_secs(3));
    let changed = now() - jiff::SignedDuration::from_secs(2);
    cluster.server.put_all(&slices(1, changed));
    eventually("it is counted", || metric("count") > 0.5);
    let sum = metric("sum");
    assert!((2.0..30.0).contains(&sum), "{sum}");
    cluster.server.put_all(&slices(0, now()));
    eventually("so is the next", || metric("count") > 1.5);
}

#[test]
fn a_hundred_thousand_objects_are_listed_and_the_rest_goes_on() {
    let cluster = Cluster::with_pods(2);
    let bed = &cluster.bed;
    let mut all = objects(&[web().to(&bed.pods[..1])]);
    for service in 0..100 {
        let name = format!("s{service}");
        let address = format!("10.233.20.{}", service + 1);
        all.extend(
            objects(&[Service::new(&name, &address)])
                .into_iter()
                .take(1),
        );
        for slice in 0..1000 {
            let (high, low) = (slice / 250, slice % 250 + 1);
            all.push(json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": {
                    "namespace": "default", "name": format!("{name}-{slice}"),
                    "labels": {"kubernetes.io/service-name": name},
                },
                "addressType": "IPv4",
                "ports": [{"name": "p0", "port": 80, "protocol": "TCP"}],
                "endpoints": [{
                    "addresses": [format!("10.{}.{high}.{low}", 100 + service)],
                    "conditions": {"ready": slice < 3}, "nodeName": "n1",
                }],
            }));
        }
    }
    cluster.server.put_all(&all);
    let agent = cluster.launch(&[]);
    let agent = agent.loaded();
    bed.pod(2).dial(VIP).times(3).assert_only(&["pod-1"]);
    cluster
        .server
        .put_all(&objects(&[web().to(&bed.pods[1..])]));
    let dial = bed.pod(2).dial(VIP);
    eventually("a change follows", || dial.answer().server == "pod-2");
    let events = "portolan_source_events_total{resource=\"endpointslices\"}";
    assert!(agent.metric(events).expect("a metric") > 100_000.0);
}

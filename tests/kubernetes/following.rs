//! What the API says is what clients see.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::api_server::{Kind, eventually};
use crate::cluster::{Cluster, objects};
use crate::support::{Outcome, Service};

const VIP: &str = "10.233.10.90:80";

fn web() -> Service {
    Service::new("web", "10.233.10.90").node_port(30090)
}

#[test]
fn services_of_the_api_are_served_and_changes_follow() {
    let cluster = Cluster::with_pods(3);
    let bed = &cluster.bed;
    cluster.has(&[web().to(&bed.pods[..2])]);
    let agent = cluster.agent(&[]);
    let dial = bed.pod(3).dial(VIP);
    dial.times(40).assert_only(&["pod-1", "pod-2"]);
    bed.outside
        .dial(&bed.node.at(30090))
        .times(40)
        .assert_only(&["pod-1", "pod-2"]);

    cluster.has(&[web().to(&bed.pods[2..3])]);
    eventually("the endpoints change", || dial.answer().server == "pod-3");
    dial.times(20).assert_only(&["pod-3"]);

    cluster.has(&[web()]);
    eventually("it has no endpoints", || dial.once() == Outcome::Refused);
    cluster.has(&[web().to(&bed.pods[..1])]);
    eventually("it has one again", || {
        matches!(dial.once(), Outcome::Answered(_))
    });
    agent.stop();
    dial.times(5).assert_only(&["pod-1"]);
}

#[test]
fn nothing_is_touched_before_the_first_lists_are_complete() {
    let cluster = Cluster::with_pods(2);
    let bed = &cluster.bed;
    cluster.has(&[web().to(&bed.pods[..1])]);
    cluster.agent(&[]).stop();
    // The Services can be listed, their endpoints cannot.
    cluster.server.rules(|rules| {
        rules
            .refuse
            .insert(Kind::EndpointSlice, (403, "not today".to_owned()));
    });
    let mut agent = cluster.launch(&[]);
    agent.eventually("it asks", |agent| agent.log().contains("not today"));
    thread::sleep(Duration::from_millis(500));
    assert!(!agent.log().contains(" runs"), "{}", agent.log());
    bed.pod(2).dial(VIP).times(10).assert_only(&["pod-1"]);
    let health = agent.get("127.0.0.1:10256/livez");
    assert_eq!(health.code, 200, "{health:?}");
    cluster.server.rules(|rules| rules.refuse.clear());
    let mut agent = agent.loaded();
    agent.eventually("all is listed", |agent| {
        agent.metric("portolan_source_synced{resource=\"endpointslices\"}") == Some(1.0)
    });
    bed.pod(2).dial(VIP).times(10).assert_only(&["pod-1"]);
}

#[test]
fn a_stop_while_it_waits_for_the_cluster_ends_it_and_leaves_the_rules() {
    let cluster = Cluster::with_pods(2);
    let bed = &cluster.bed;
    cluster.has(&[web().to(&bed.pods[..1])]);
    cluster.agent(&[]).stop();
    cluster.server.stop();
    let mut agent = cluster.launch(&[]);
    agent.eventually("it cannot reach it", |agent| {
        agent.log().contains("cannot be reached")
    });
    agent.stop();
    bed.pod(2).dial(VIP).times(5).assert_only(&["pod-1"]);
}

#[test]
fn what_kube_proxy_does_not_ask_for_is_not_asked_for() {
    let cluster = Cluster::with_pods(1);
    let headless = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": "default", "name": "names"},
        "spec": {"clusterIP": "None", "clusterIPs": ["None"], "ports": [{"port": 80}]},
    });
    cluster.server.put(&headless);
    let agent = cluster.agent(&[]);
    let requests = cluster.server.seen().requests;
    let of = |part: &str| requests.iter().find(|one| one.contains(part)).cloned();
    let services = of("/services").expect("services");
    assert!(services.contains("spec.clusterIP%21%3DNone"), "{services}");
    assert!(services.contains("service-proxy-name"), "{services}");
    let nodes = of("/nodes").expect("nodes");
    assert!(nodes.contains("metadata.name%3Dn0"), "{nodes}");
    assert!(of("/servicecidrs").is_some());
    let log = agent.stop();
    assert!(log.contains("services=0"), "{log}");
}

#[test]
fn one_changed_slice_is_in_the_kernel_within_moments() {
    let cluster = Cluster::with_pods(2);
    let bed = &cluster.bed;
    let many: Vec<Service> = (0..200)
        .map(|n| {
            let ip = format!("10.233.20.{}", n + 1);
            let pods = (0..5).map(|k| format!("10.233.70.{}", k + 1)).collect();
            Service::new(&format!("s{n}"), &ip).to_addresses("n1", pods, 80)
        })
        .collect();
    let of = |pod: usize| {
        let mut all = many.clone();
        all.push(web().to(&bed.pods[pod..=pod]));
        objects(&all)
    };
    cluster.server.replace(&of(0));
    let _agent = cluster.agent(&[]);
    let slice = |pod: usize| {
        let slices = of(pod).into_iter();
        let mut slices = slices.filter(|object| {
            object["kind"] == "EndpointSlice"
                && object["metadata"]["labels"]["kubernetes.io/service-name"] == "web"
        });
        slices.next().expect("a slice")
    };
    let dial = bed.pod(1).dial(VIP);
    assert_eq!(dial.answer().server, "pod-1");
    let mut times = Vec::new();
    for round in 1..=9 {
        let pod = round % 2;
        let object = slice(pod);
        let start = Instant::now();
        cluster.server.put(&object);
        let name = format!("pod-{}", pod + 1);
        while dial.answer().server != name {
            assert!(start.elapsed() < Duration::from_secs(10), "not programmed");
        }
        times.push(start.elapsed());
    }
    times.sort();
    eprintln!("seen by a client after {times:?}");
    // 20 ms are wanted and measured on a quiet machine; here, others work on it.
    assert!(times[4] < Duration::from_millis(500), "{times:?}");
}

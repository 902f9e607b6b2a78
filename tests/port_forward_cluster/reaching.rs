//! What is reached, and what happens when it goes.

use std::process::Command;

use crate::api_server::{Kind, eventually};
use crate::cluster::{Cluster, pod};
use crate::forward::{Forward, Talk};

#[test]
fn a_service_leads_to_its_ready_pods_at_the_port_that_its_slices_tell() {
    let cluster = Cluster::with_pods(2);
    let mut forward = Forward::start(&cluster, &["svc/web", ":80", ":http"]);
    assert_eq!(forward.askers(0, 6), ["pod-1", "pod-2"]);
    let port = forward.ports[0];
    assert_eq!(forward.line(), format!("Handling connection for {port}"));
    assert_eq!(forward.askers(1, 6), ["pod-1", "pod-2"]);
    let curl = Command::new("curl")
        .args(["-sS", "--max-time", "60"])
        .arg(format!("http://127.0.0.1:{port}/"))
        .output()
        .unwrap();
    let answer = String::from_utf8(curl.stdout).unwrap();
    assert!(answer.starts_with("pod-"), "{answer}: {}", forward.log());
    assert_eq!(forward.log(), "");
}

#[test]
fn a_pod_and_the_pods_of_every_kind_of_workload_are_reached() {
    let cluster = Cluster::with_pods(2);
    let forward = Forward::start(&cluster, &["pod/pod-2", ":8080", ":http"]);
    assert_eq!(forward.askers(0, 3), ["pod-2"]);
    assert_eq!(forward.askers(1, 3), ["pod-2"]);
    let forward = Forward::start(&cluster, &["pod-1", ":8080"]);
    assert_eq!(forward.askers(0, 3), ["pod-1"]);
    for (kind, resource) in [
        ("Deployment", "deploy/web"),
        ("ReplicaSet", "rs/web"),
        ("StatefulSet", "sts/web"),
        ("DaemonSet", "ds/web"),
    ] {
        cluster.workload(kind, "web");
        let forward = Forward::start(&cluster, &[resource, ":http"]);
        assert_eq!(forward.askers(0, 6), ["pod-1", "pod-2"], "{resource}");
    }
}

#[test]
fn new_connections_go_to_another_pod_when_the_one_in_use_is_replaced() {
    let cluster = Cluster::with_pods(2);
    cluster.ready(&["pod-1"]);
    let forward = Forward::start(&cluster, &["svc/web", ":80"]);
    let mut talk = Talk::new(forward.connect(0));
    assert_eq!(talk.say("before").unwrap(), "pod-1 before");
    cluster.ready(&["pod-2"]);
    assert_eq!(forward.askers(0, 4), ["pod-2"]);
    // What was there goes on.
    assert_eq!(talk.say("after").unwrap(), "pod-1 after");
    // Slices are late: a pod that is gone is passed over.
    cluster.server.delete(Kind::Pod, "default", "pod-2");
    cluster.ready(&["pod-1", "pod-2"]);
    assert_eq!(forward.askers(0, 4), ["pod-1"]);
}

#[test]
fn a_workload_leads_to_what_its_pods_are_by_then() {
    let cluster = Cluster::with_pods(2);
    cluster.workload("Deployment", "web");
    let mut ending = pod("pod-1");
    ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    cluster.server.put(&ending);
    let forward = Forward::start(&cluster, &["deploy/web", ":8080"]);
    assert_eq!(forward.askers(0, 4), ["pod-2"]);
    cluster.server.put(&pod("pod-1"));
    cluster.server.delete(Kind::Pod, "default", "pod-2");
    assert_eq!(forward.askers(0, 4), ["pod-1"]);
    cluster.server.delete(Kind::Pod, "default", "pod-1");
    assert_eq!(forward.try_ask(0), None);
    let words = "no Pod of deployment/web runs and is ready";
    assert!(forward.log().contains(words), "{}", forward.log());
}

#[test]
fn it_goes_on_when_the_api_server_is_back() {
    let cluster = Cluster::with_pods(1);
    let forward = Forward::start(&cluster, &["svc/web", ":80"]);
    let mut talk = Talk::new(forward.connect(0));
    assert_eq!(talk.say("before").unwrap(), "pod-1 before");
    cluster.server.stop();
    // Told to the client as what it is: no polite end.
    assert_eq!(talk.say("after"), None);
    assert_eq!(forward.try_ask(0), None);
    cluster.server.start_again();
    eventually("pods are reached again", || {
        forward.try_ask(0).as_deref() == Some("pod-1")
    });
}

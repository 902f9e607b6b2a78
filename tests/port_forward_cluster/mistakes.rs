//! What a person reads when it cannot be.

use serde_json::json;

use crate::api_server::{Kind, eventually};
use crate::cluster::Cluster;
use crate::forward::{Forward, Talk};
use crate::support::program::{Run, portolan};

fn run(cluster: &Cluster, args: &[&str]) -> Run {
    let url = cluster.server.url();
    let common = ["port-forward", "--master", &url, "--address", "127.0.0.1"];
    portolan(&[&common, args].concat())
}

#[test]
fn what_is_not_there_is_told_in_a_sentence() {
    let cluster = Cluster::with_pods(1);
    for (args, words) in [
        (
            &["svc/nowhere", ":80"][..],
            "there is no service/nowhere in namespace default",
        ),
        (
            &["pod/nobody", ":80"],
            "there is no pod/nobody in namespace default",
        ),
        (
            &["-n", "other", "deploy/web", ":80"],
            "there is no deployment/web in namespace other",
        ),
        (
            &["svc/web", ":82"],
            "service/web has no port 82 of TCP; it has 80/TCP, 81/TCP",
        ),
        (
            &["pod/pod-1", ":https"],
            "pod/pod-1 has no port https of TCP; it has http (8080/TCP)",
        ),
        (
            &["svc/web", ":80", ":53/udp"],
            "port 53 cannot be forwarded: an API server forwards TCP only, not UDP",
        ),
    ] {
        let run = run(&cluster, args).exits(1);
        assert!(run.stderr.contains(words), "{args:?}: {}", run.stderr);
        assert_eq!(run.stdout, "", "{args:?}");
    }
}

#[test]
fn who_may_not_is_told_the_servers_words_before_anything_listens() {
    let cluster = Cluster::with_pods(1);
    let words = "pods \"pod-1\" is forbidden: User \"jane\" cannot create resource \
                 \"pods/portforward\" in API group \"\" in the namespace \"default\"";
    cluster
        .server
        .rules(|rules| rules.refuse_forwarding = Some((403, words.to_owned())));
    let denied = run(&cluster, &["svc/web", ":80"]).exits(1);
    assert!(denied.stderr.contains(words), "{}", denied.stderr);
    assert_eq!(denied.stdout, "");
    let words = "services \"web\" is forbidden";
    cluster.server.rules(|rules| {
        rules.refuse.insert(Kind::Service, (403, words.to_owned()));
    });
    let denied = run(&cluster, &["svc/web", ":80"]).exits(1);
    assert!(denied.stderr.contains(words), "{}", denied.stderr);
}

#[test]
fn a_port_that_nobody_listens_on_is_told_for_each_connection_and_the_others_go_on() {
    let cluster = Cluster::with_pods(1);
    let forward = Forward::start(&cluster, &["svc/web", ":81", ":80"]);
    let port = forward.ports[0];
    let ended = Talk::new(forward.connect(0)).rest();
    assert!(ended.is_err() || ended.unwrap().is_empty());
    let words = format!(
        "an error occurred forwarding {port} -> 81: pod/pod-1: error forwarding port 9 to pod \
         pod-1, uid : Connection refused"
    );
    eventually(&words, || forward.log().contains(&words));
    assert_eq!(forward.ask(1), "pod-1");
}

#[test]
fn a_server_that_knows_no_tunnels_is_told() {
    let cluster = Cluster::with_pods(1);
    // As one from before Kubernetes 1.31 answers.
    let words = "Upgrade request required";
    cluster
        .server
        .rules(|rules| rules.refuse_forwarding = Some((400, words.to_owned())));
    let run = run(&cluster, &["pod/pod-1", ":80"]).exits(1);
    assert!(run.stderr.contains(words), "{}", run.stderr);
}

#[test]
fn an_endpoint_that_is_no_pod_is_not_reached_through_a_kubelet() {
    let cluster = Cluster::with_pods(1);
    for family in ["ipv4", "ipv6"] {
        let name = format!("web-{family}");
        cluster.server.delete(Kind::EndpointSlice, "default", &name);
    }
    cluster.server.put(&json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": "web-own", "namespace": "default",
            "labels": {"kubernetes.io/service-name": "web"},
        },
        "addressType": "IPv4", "ports": [{"name": "http", "port": 80}],
        "endpoints": [{"addresses": ["192.0.2.1"]}],
    }));
    let forward = Forward::start(&cluster, &["svc/web", ":80"]);
    assert_eq!(forward.try_ask(0), None);
    let words = "no Pod of service/web runs and is ready";
    eventually(words, || forward.log().contains(words));
}

#[test]
fn a_server_that_is_away_is_told_at_the_start() {
    let cluster = Cluster::with_pods(1);
    cluster.server.stop();
    let run = run(&cluster, &["svc/web", ":80"]).exits(1);
    let words = "cannot look up service/web in namespace default";
    assert!(
        run.stderr.contains(words) && run.stderr.contains("Connection refused"),
        "{}",
        run.stderr
    );
}

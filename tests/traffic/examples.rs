//! The manifests under `examples/`, with pods behind them: what the notes beside them promise.

use std::fmt::Write;
use std::path::Path;

use crate::support::server::Server;
use crate::support::{Outcome, Protocol, Testbed, portolan};

/// Three pods labelled `app: webui`, as `examples/mydeploy.yml` would have them, and a client.
fn bed() -> (Testbed, Vec<Server>, String) {
    let bed = Testbed::with_pods(4);
    // The containers of the example listen on port 80; every pod of the testbed does on 8080.
    let web = bed.pods[..3].iter();
    let servers = web.map(|pod| Server::start(&pod.namespace, &pod.name, Protocol::Tcp, 80));
    let servers = servers.collect();
    let mut pods = String::new();
    for pod in &bed.pods[..3] {
        write!(
            pods,
            "---\napiVersion: v1\nkind: Pod\n\
             metadata: {{name: {}, namespace: default, labels: {{app: webui}}}}\n\
             spec: {{nodeName: n0, containers: [{{name: mycon, image: 'nginx:1.14'}}]}}\n\
             status: {{phase: Running, podIP: {ip}, podIPs: [{{ip: {ip}}}], \
             conditions: [{{type: Ready, status: 'True'}}]}}\n",
            pod.name,
            ip = pod.v4,
        )
        .unwrap();
    }
    let manifest = bed.directory.path().join("pods.yaml");
    std::fs::write(&manifest, pods).unwrap();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let more = ["-f", examples.to_str().unwrap()];
    bed.verb_on("apply", &manifest, &more).exits(0);
    let state = bed.directory.path().join("state");
    let get = ["get", "services", "-f", manifest.to_str().unwrap()];
    let state = ["--state-dir", state.to_str().unwrap()];
    let services = portolan(&[&get[..], &more, &state].concat())
        .exits(0)
        .stdout;
    (bed, servers, services)
}

const ALL: [&str; 3] = ["pod-1", "pod-2", "pod-3"];

#[test]
fn myclusterip_answers_at_its_fixed_address() {
    let (bed, _servers, _) = bed();
    bed.pod(4)
        .dial("10.233.10.10:80")
        .times(300)
        .assert_even_over(&ALL);
}

#[test]
fn mycluster_answers_at_the_address_that_it_was_given() {
    let (bed, _servers, services) = bed();
    let row = services
        .lines()
        .find(|row| row.contains(" mycluster "))
        .expect("a row");
    let address = row.split_whitespace().nth(3).expect("CLUSTER-IP");
    assert!(address.starts_with("10.233."), "{row}");
    bed.pod(4)
        .dial(&format!("{address}:80"))
        .times(60)
        .assert_only(&ALL);
}

#[test]
fn my_nodeport_is_reached_from_outside_at_192_168_10_100_30080() {
    let (bed, _servers, _) = bed();
    bed.outside
        .dial("192.168.10.100:30080")
        .times(300)
        .assert_even_over(&ALL);
}

#[test]
fn myloadbalance_has_an_inside_address_and_a_node_port() {
    let (bed, _servers, services) = bed();
    bed.pod(4)
        .dial("10.233.10.100:80")
        .times(60)
        .assert_only(&ALL);
    bed.outside
        .dial("192.168.10.100:32000")
        .times(60)
        .assert_only(&ALL);
    assert!(services.contains("<pending>"), "{services}");
}

#[test]
fn headless_and_external_name_services_have_no_rules() {
    let (bed, _servers, services) = bed();
    let rules = bed.node.namespace.saved_both();
    for name in ["myhead", "cassandra", "external-db"] {
        assert!(services.contains(name), "{services}");
        assert!(!rules.contains(name), "{name}");
    }
}

#[test]
fn nothing_answers_at_a_cluster_ip_from_outside_of_the_cluster() {
    // Unless somebody routes it to a node, as the testbed does for some of them.
    let (bed, _servers, _) = bed();
    bed.outside
        .namespace
        .ip(&["route del 10.233.10.0/24".to_owned()]);
    let outcome = bed.outside.dial("10.233.10.10:80").impatiently().once();
    assert!(
        !matches!(outcome, Outcome::Answered(_) | Outcome::TimedOut),
        "{outcome:?}"
    );
}

//! Who the agent is for the API server: tokens, exec plugins, and how they are replaced.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::api_server::{Wire, eventually};
use crate::cluster::Cluster;
use crate::support::program::PROGRAM;
use crate::support::{Service, portolan};

const VIP: &str = "10.233.10.90:80";

fn web() -> Service {
    Service::new("web", "10.233.10.90")
}

/// A kubeconfig whose user is this.
fn kubeconfig(cluster: &Cluster, user: &str) -> String {
    let path = cluster.file("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: it\n\
         contexts: [{{name: it, context: {{cluster: c, user: u}}}}]\n\
         clusters: [{{name: c, cluster: {{server: \"{}\"}}}}]\n\
         users: [{{name: u, user: {user}}}]\n",
        cluster.server.url()
    );
    fs::write(&path, text).expect("write");
    path.to_str().expect("text").to_owned()
}

#[test]
fn a_token_that_is_replaced_on_disk_is_used() {
    let cluster = Cluster::with_pods(2);
    let bed = &cluster.bed;
    let token = cluster.file("token");
    fs::write(&token, "one").expect("write");
    let user = format!("{{tokenFile: \"{}\"}}", token.display());
    let kubeconfig = kubeconfig(&cluster, &user);
    cluster
        .server
        .rules(|rules| rules.token = Some("one".to_owned()));
    cluster.has(&[web().to(&bed.pods[..1])]);
    let _agent = cluster
        .launch_with(&["--kubeconfig", &kubeconfig], &[])
        .loaded();
    let dial = bed.pod(2).dial(VIP);
    dial.times(3).assert_only(&["pod-1"]);

    cluster
        .server
        .rules(|rules| rules.token = Some("two".to_owned()));
    cluster.server.wire(Wire::Cut);
    cluster.server.wire(Wire::Pass);
    cluster.has(&[web().to(&bed.pods[1..])]);
    fs::write(&token, "two").expect("write");
    eventually("the change arrives", || dial.answer().server == "pod-2");
}

#[test]
fn an_exec_plugin_is_asked_for_the_token() {
    let cluster = Cluster::with_pods(2);
    let bed = &cluster.bed;
    let plugin = cluster.file("plugin");
    let credential = r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"from-the-plugin"}}"#;
    fs::write(&plugin, format!("#!/bin/sh\necho '{credential}'\n")).expect("write");
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755)).expect("chmod");
    let user = format!(
        "{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: \"{}\", \
         interactiveMode: Never}}}}",
        plugin.display()
    );
    let kubeconfig = kubeconfig(&cluster, &user);
    cluster
        .server
        .rules(|rules| rules.token = Some("from-the-plugin".to_owned()));
    cluster.has(&[web().to(&bed.pods[..1])]);
    let _agent = cluster
        .launch_with(&["--kubeconfig", &kubeconfig], &[])
        .loaded();
    bed.pod(2).dial(VIP).times(3).assert_only(&["pod-1"]);
}

#[test]
fn a_pod_uses_its_service_account() {
    // Without the files that a Pod has; that they are looked for is what can be seen here.
    let mut command = Command::new(PROGRAM);
    command.args(["run", "--node-name", "n0", "--mode", "iptables"]);
    command.args(["--metrics-bind-address", "", "--healthz-bind-address", ""]);
    command
        .env("KUBERNETES_SERVICE_HOST", "192.0.2.1")
        .env("KUBERNETES_SERVICE_PORT", "443");
    let cluster = Cluster::with_pods(1);
    command
        .arg("--netns")
        .arg(cluster.bed.node.namespace.path());
    let output = command.output().expect("portolan");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("service account"), "{text}");
}

#[test]
fn what_cannot_lead_to_a_cluster_is_refused_at_once() {
    let run = portolan(&["run", "--node-name", "n0"]).exits(2);
    assert!(run.stderr.contains("--kubeconfig"), "{}", run.stderr);
    let run = portolan(&["run", "-f", "x.yaml", "--master", "http://127.0.0.1:1"]);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
}

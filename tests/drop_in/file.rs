//! What the file says, and what it comes to. Needs no privilege.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_portolan");
/// The file of a cluster that kubeadm made, as it is in its ConfigMap.
const KUBEADM: &str = include_str!("kubeadm.conf");

fn run(directory: &TempDir, config: &str, more: &[&str]) -> Output {
    let path = directory.path().join("config.conf");
    fs::write(&path, config).unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["run", "--config"]).arg(path);
    command.args(more).output().unwrap()
}

/// What `--write-config-to` writes.
fn effective(config: &str, more: &[&str]) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let written = directory.path().join("written");
    let to = format!("--write-config-to={}", written.display());
    let output = run(&directory, config, &[more, &[&to]].concat());
    assert!(output.status.success(), "{output:?}");
    serde_yaml::from_str(&fs::read_to_string(written).unwrap()).unwrap()
}

#[test]
fn kubeadms_file_is_taken_as_it_stands() {
    let effective = effective(KUBEADM, &["--hostname-override=Node-7"]);
    let table = [
        ("/kind", Value::from("KubeProxyConfiguration")),
        ("/mode", "iptables".into()),
        ("/hostnameOverride", "node-7".into()),
        ("/clusterCIDR", "10.244.0.0/16".into()),
        ("/detectLocalMode", "ClusterCIDR".into()),
        ("/healthzBindAddress", "0.0.0.0:10256".into()),
        ("/metricsBindAddress", "127.0.0.1:10249".into()),
        (
            "/clientConnection/kubeconfig",
            "/var/lib/kube-proxy/kubeconfig.conf".into(),
        ),
        ("/conntrack/maxPerCore", 32768.into()),
        ("/conntrack/tcpEstablishedTimeout", "24h0m0s".into()),
        ("/iptables/masqueradeBit", 14.into()),
        ("/iptables/syncPeriod", "30s".into()),
        ("/iptables/minSyncPeriod", "1s".into()),
        ("/oomScoreAdj", (-999).into()),
    ];
    for (field, expected) in table {
        assert_eq!(
            effective.pointer(field),
            Some(&expected),
            "{field}\n{effective:#}"
        );
    }
}

#[test]
fn what_is_written_can_be_read_and_says_the_same() {
    let config = KUBEADM
        .replace("mode: \"\"", "mode: nftables")
        .replace("  minSyncPeriod: 0s", "  minSyncPeriod: 2s")
        .replace(
            "nodePortAddresses: null",
            "nodePortAddresses: [10.0.0.0/8, \"fd00::/8\"]",
        )
        .replace("  maxPerCore: null", "  maxPerCore: 0")
        .replace("qps: 0", "qps: 7.5");
    let first = effective(&config, &[]);
    assert_eq!(first["nftables"]["minSyncPeriod"], "2s");
    assert_eq!(first["clientConnection"]["qps"], 7.5);
    let second = effective(&serde_yaml::to_string(&first).unwrap(), &[]);
    assert_eq!(first, second);
}

#[test]
fn mistakes_of_the_file_and_of_flags_are_told_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let config = KUBEADM
        .replace(
            "clusterCIDR: 10.244.0.0/16",
            "clusterCIDR: 10.244.0.0/33\nclusterCIDRs: x",
        )
        .replace("masqueradeBit: null", "masqueradeBit: 32")
        .replace("healthzBindAddress: \"\"", "healthzBindAddress: localhost")
        .replace("detectLocalMode: \"\"", "detectLocalMode: Bridge");
    let output = run(&directory, &config, &["--service-cidr=10.96.0.0/31"]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    let path = directory.path().join("config.conf");
    let path = path.display();
    for line in [
        format!(
            "{path}: clusterCIDRs: is no field of a KubeProxyConfiguration; near it are clusterCIDR"
        ),
        format!("{path}: iptables.masqueradeBit: is 32, but should be within 0 and 31"),
        format!("{path}: detectLocalMode: is \"Bridge\", but should be one of ClusterCIDR"),
        format!("{path}: clusterCIDR: \"10.244.0.0/33\" is not a CIDR"),
        format!("{path}: healthzBindAddress: \"localhost\" is not an IP address"),
        "--service-cidr: 10.96.0.0/31 is too small".to_owned(),
    ] {
        assert!(text.contains(&line), "no {line} in\n{text}");
    }
}

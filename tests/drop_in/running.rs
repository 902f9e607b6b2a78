//! An agent that was started with kube-proxy's file.

use std::fs;

use serde_json::Value;

use crate::agent::{Agent, Directory};
use crate::support::{Namespace, Service, Testbed};

const CONFIG: &str = "apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: 10.233.64.0/18,fd00:10:244::/56
conntrack:
  tcpCloseWaitTimeout: 45m
  udpTimeout: 25s
portRange: 1-2
";

#[test]
fn the_file_is_in_force_and_a_change_of_it_ends_the_agent_with_the_rules_in_place() {
    let bed = Testbed::with_pods(2);
    let directory = Directory::new();
    directory.write(
        "web.yaml",
        &[Service::new("web", "10.233.10.70").to(&bed.pods[..1])],
    );
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("config.conf");
    fs::write(&config, CONFIG).unwrap();
    let more = ["--config", config.to_str().unwrap()];
    let mut agent = Agent::start(&bed, &directory, &more);
    bed.pod(2).dial("10.233.10.70:80").answer();

    let configz = agent.get("127.0.0.1:10249/configz").body;
    let configz: Value = serde_json::from_str(&configz).unwrap();
    let section = &configz["kubeproxy.config.k8s.io"];
    assert_eq!(section["mode"], "nftables");
    assert_eq!(section["conntrack"]["udpTimeout"], "25s");
    assert_eq!(agent.get("127.0.0.1:10249/proxyMode").body, "nftables");
    let sysctl = |name: &str| bed.node.namespace.sysctl(&format!("netfilter/{name}"));
    assert_eq!(sysctl("nf_conntrack_tcp_timeout_close_wait"), "2700");
    assert_eq!(sysctl("nf_conntrack_tcp_timeout_established"), "86400");
    assert_eq!(sysctl("nf_conntrack_udp_timeout"), "25");
    assert!(
        agent.log().contains("portRange: no mode"),
        "{}",
        agent.log()
    );

    // A mistake is no reason to leave a node without an agent.
    fs::write(&config, CONFIG.replace("mode:", "modes:")).unwrap();
    agent.eventually("the mistake is told", |agent| {
        agent.log().contains("modes: is no field") && agent.log().contains("stays in force")
    });
    fs::write(&config, CONFIG.replace("25s", "26s")).unwrap();
    let (status, log) = agent.ends();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("has changed"), "{log}");
    bed.pod(2).dial("10.233.10.70:80").answer();
}

#[test]
fn the_rules_of_the_kube_proxy_whose_file_it_is_go_without_another_flag() {
    let bed = Testbed::with_pods(2);
    let node = &bed.node.namespace;
    let stale = "table ip kube-proxy {\n chain services {\n  type nat hook prerouting priority -100;\n  \
                 ip daddr 10.233.10.70 tcp dport 80 dnat to 10.233.64.99:8080\n }\n}\n";
    node.run_with_input("nft", &["-f", "-"], stale);
    let directory = Directory::new();
    directory.write(
        "web.yaml",
        &[Service::new("web", "10.233.10.70").to(&bed.pods[..1])],
    );
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("config.conf");
    fs::write(&config, CONFIG).unwrap();
    let _agent = Agent::start(&bed, &directory, &["--config", config.to_str().unwrap()]);
    let tables = node.run("nft", &["list", "tables"]);
    assert!(!tables.contains("kube-proxy"), "{tables}");
    bed.pod(2).dial("10.233.10.70:80").answer();
}

#[test]
fn init_only_makes_settings_and_no_rules_and_cleanup_removes_rules() {
    let bed = Testbed::with_pods(2);
    let web = [Service::new("web", "10.233.10.70").to(&bed.pods[..1])];
    let run = |more: &[&str]| bed.verb("run", &web, more).exits(0);
    let sysctl = |name: &str| bed.node.namespace.sysctl(name);
    assert_ne!(sysctl("ipv4/conf/all/route_localnet"), "1");
    run(&["--init-only", "--conntrack-udp-timeout=31s"]);
    assert_eq!(sysctl("ipv4/conf/all/route_localnet"), "1");
    assert_eq!(sysctl("netfilter/nf_conntrack_udp_timeout"), "31");
    let ruleset = |namespace: &Namespace| namespace.run("nft", &["list", "tables"]);
    assert_eq!(ruleset(&bed.node.namespace), "");
    bed.apply(&web);
    assert_ne!(ruleset(&bed.node.namespace), "");
    run(&["--cleanup"]);
    let left = bed.node.namespace.run("iptables-save", &[]);
    assert!(!left.contains("KUBE-SVC"), "{left}");
}

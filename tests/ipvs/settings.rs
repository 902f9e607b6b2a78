//! Kernel settings, timeouts and excluded addresses, out of a configuration file of kube-proxy.

use nix::sys::signal::Signal::{SIGKILL, SIGTERM};
use serde_json::json;

use crate::node::{everything, saved, testbed};
use crate::running::{Agent, has, lay_out, log_of};
use crate::support::{Outcome, Service, Testbed};

const CONFIG: &str = "
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: ipvs
hostnameOverride: n0
clusterCIDR: 10.233.64.0/18,fd00:10:244::/56
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
ipvs:
  scheduler: wlc
  strictARP: true
  excludeCIDRs: [203.0.113.96/28]
  tcpTimeout: 10m
  tcpFinTimeout: 30s
  udpTimeout: 45s
  syncPeriod: 5m
  minSyncPeriod: 1s
";

/// Whether n0 answers a neighbour's question for an address of `203.0.113.0/24`, which the
/// neighbour takes for one on its own link.
fn answers_arp(bed: &Testbed, address: &str) -> bool {
    let client = &bed.outside.namespace;
    client.ip(&[format!("route replace {address}/32 dev br0")]);
    let outcome = bed.outside.dial(&format!("{address}:80")).once();
    let shown = client.run("ip", &["neigh", "show", address]);
    let known = shown.contains("lladdr");
    let asked = shown.contains("FAILED") || shown.contains("INCOMPLETE");
    assert!(known != asked, "neither asked nor answered: {shown:?}");
    let answered = matches!(outcome, Outcome::Answered(_));
    assert_eq!(known, answered, "{outcome:?} {shown}");
    client.ip(&[
        format!("route del {address}/32 dev br0"),
        format!("neigh del {address} dev br0"),
    ]);
    known
}

fn timeouts(bed: &Testbed) -> String {
    bed.node.namespace.run("ipvsadm", &["-l", "--timeout"])
}

#[test]
fn a_file_of_kube_proxy_sets_arp_timeouts_and_exclusions_and_cleanup_puts_them_back() {
    let Some(bed) = testbed(1, 2) else { return };
    let node = &bed.node.namespace;
    // The rest of the world has every address, and would answer in n0's place.
    bed.outside
        .namespace
        .ip(&["link set uplink down".to_owned()]);
    // Somebody else's, in the excluded range: on the device too, as MetalLB's speaker once did.
    let foreign = [
        "-A -t 203.0.113.99:80 -s lc",
        "-a -t 203.0.113.99:80 -r 10.9.9.9:1 -m -w 5",
        "-A -t 203.0.113.98:80 -s lc",
    ];
    node.run_with_input("ipvsadm-restore", &[], &(foreign.join("\n") + "\n"));
    node.ip(&[
        "link add kube-ipvs0 type dummy".to_owned(),
        "addr add 203.0.113.99/32 dev kube-ipvs0".to_owned(),
    ]);
    let before = everything(node);
    let untouched = || {
        let lines = saved(node);
        for line in foreign {
            assert!(lines.contains(line), "{line} is gone: {lines:#?}");
        }
        let on_device = node.run("ip", &["-o", "addr", "show", "dev", "kube-ipvs0"]);
        assert!(on_device.contains(" 203.0.113.99/32 "), "{on_device}");
        assert!(!on_device.contains(" 203.0.113.97/32 "), "{on_device}");
    };
    let web = Service::new("web", "10.233.10.1")
        .load_balancer("203.0.113.10")
        .to(&bed.far_pods);
    let excluded = Service::new("excluded", "10.233.10.2")
        .field("externalIPs", json!(["203.0.113.99", "203.0.113.97"]))
        .to(&bed.far_pods);

    let exclude = ["--ipvs-exclude-cidrs", "203.0.113.96/28"];
    bed.ipvs_apply(std::slice::from_ref(&web), &exclude);
    assert!(answers_arp(&bed, "203.0.113.10"));
    assert!(timeouts(&bed).contains("900 120 300"), "{}", timeouts(&bed));
    untouched();

    lay_out(&bed, std::slice::from_ref(&web));
    let agent = Agent::start_with_file(&bed, CONFIG);
    assert_eq!(node.sysctl("ipv4/conf/all/arp_ignore"), "1");
    assert_eq!(node.sysctl("ipv4/conf/all/arp_announce"), "2");
    assert!(!answers_arp(&bed, "203.0.113.10"));
    assert!(timeouts(&bed).contains("600 30 45"), "{}", timeouts(&bed));
    has(&bed, "-A -t 10.233.10.1:80 -s wlc", true);
    let answers = bed.pod(1).dial("10.233.10.1:80").times(4);
    answers.assert_only(&["far-1", "far-2"]);

    lay_out(&bed, &[web.clone(), excluded]);
    has(&bed, "-A -t 10.233.10.2:80 -s wlc", true);
    let log = log_of(&bed);
    assert!(log.contains("203.0.113.97:80 is excluded"), "{log}");
    untouched();
    lay_out(&bed, std::slice::from_ref(&web));
    has(&bed, "-A -t 10.233.10.2:80 -s wlc", false);
    untouched();
    // What was before is still known after a restart, by whoever cleans up.
    agent.stop(SIGKILL);
    let agent = Agent::start_with_file(&bed, CONFIG);
    untouched();
    agent.stop(SIGTERM);
    bed.ipvs_cleanup();
    untouched();
    assert_eq!(everything(node), before);
}

//! From 1001 endpoints on, rules that grow with them go without comments.

use portolan::model::{IpFamily, Snapshot};
use portolan::translate::iptables::IptablesRuleset;

use super::cluster::{describe, options, snapshot};
use super::text::rules;

fn with_endpoints(number: usize) -> Snapshot {
    let addresses: Vec<String> = (0..number)
        .map(|i| format!("10.0.{}.{} unready", i / 250, i % 250))
        .collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    snapshot([
        describe("ns1/svc1", "172.30.0.41")
            .tcp("p80", 80)
            .affinity(60)
            .endpoints(&["10.180.0.1", "10.180.0.2"]),
        describe("ns2/many", "172.30.0.42")
            .tcp("p80", 80)
            .endpoints(&addresses),
    ])
}

#[test]
fn endpoints_count_ready_or_not_and_more_than_a_thousand_make_a_cluster_large() {
    let options = options(IpFamily::V4);
    for (unready, expected) in [(998, false), (999, true)] {
        let snapshot = with_endpoints(unready);
        let ruleset = IptablesRuleset::new(&snapshot, &options);
        assert_eq!(ruleset.large_cluster(), expected);
    }
}

#[test]
fn every_port_of_a_service_counts_its_endpoints() {
    let addresses: Vec<String> = (0..600)
        .map(|i| format!("10.0.{}.{}", i / 250, i % 250))
        .collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let snapshot = snapshot([describe("ns1/svc1", "172.30.0.41")
        .tcp("http", 80)
        .tcp("https", 443)
        .endpoints(&addresses)]);
    assert!(IptablesRuleset::new(&snapshot, &options(IpFamily::V4)).large_cluster());
    // The other family has its own count.
    assert!(!IptablesRuleset::new(&snapshot, &options(IpFamily::V6)).large_cluster());
}

#[test]
fn only_the_rules_of_endpoints_lose_their_comments() {
    let rules = rules(&with_endpoints(999), &options(IpFamily::V4));
    assert_eq!(
        rules["nat KUBE-SEP-SXIVWICOYRO3J4NJ"],
        [
            "-s 10.180.0.1/32 -j KUBE-MARK-MASQ",
            "-p tcp -m recent --set --name KUBE-SEP-SXIVWICOYRO3J4NJ --mask 255.255.255.255 \
             --rsource -m tcp -j DNAT --to-destination 10.180.0.1:80",
        ]
    );
    let choice = &rules["nat KUBE-SVC-XPGD46QRK7WJZT7O"];
    assert!(
        choice[0].contains("ns1/svc1:p80 cluster IP"),
        "{}",
        choice[0]
    );
    assert_eq!(
        choice[1],
        "-m recent --rcheck --seconds 60 --reap --name KUBE-SEP-SXIVWICOYRO3J4NJ \
         --mask 255.255.255.255 --rsource -j KUBE-SEP-SXIVWICOYRO3J4NJ"
    );
    assert_eq!(
        choice[3],
        "-m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-SXIVWICOYRO3J4NJ"
    );
    assert!(
        rules["filter KUBE-SERVICES"][0].contains("ns2/many:p80 has no endpoints"),
        "{:?}",
        rules["filter KUBE-SERVICES"]
    );
}

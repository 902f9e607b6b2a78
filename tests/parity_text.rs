//! The rules that kube-proxy itself wrote, captured in `tests/parity/`, against the text portolan
//! renders from the same manifests: no kernel needed.
//!
//! Compared in meaning, as `tests/parity/compare.py` does: the order of rules in chains whose rules
//! exclude each other by destination, and the canary chains, carry none.

#![allow(
    clippy::unwrap_used,
    reason = "a test stops at the first surprise, in its helpers too"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use portolan::model::{IpFamily, Snapshot};
use portolan::plan::xtables::save::save;
use portolan::source::manifest::{ManifestInput, load};
use portolan::translate::iptables::{
    IptablesOptions, IptablesRuleset, LocalDetector, NfacctObjects,
};

/// Chains in which rules match different destinations.
const UNORDERED: [&str; 4] = [
    "KUBE-SERVICES",
    "KUBE-NODEPORTS",
    "KUBE-EXTERNAL-SERVICES",
    "KUBE-PROXY-FIREWALL",
];
const CANARIES: [&str; 2] = ["KUBE-PROXY-CANARY", "KUBE-KUBELET-CANARY"];
/// Closes `KUBE-SERVICES` whatever the order before it.
const LAST: &str = "this must be the last rule in this chain";

fn captures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity")
}

fn snapshot(manifest: &Path) -> Snapshot {
    load(&ManifestInput {
        paths: vec![manifest.display().to_string()],
        recursive: false,
        strict: false,
    })
    .unwrap()
    .into_snapshot()
}

/// kube-proxy's settings when the captures were taken.
fn options(snapshot: &Snapshot, family: IpFamily) -> IptablesOptions {
    let cidrs: Vec<IpNet> = ["10.233.64.0/18", "fd00:10:244::/56"]
        .map(|cidr| cidr.parse().unwrap())
        .into();
    IptablesOptions {
        local_detector: LocalDetector::first_cidr(&cidrs, family),
        nfacct: NfacctObjects::both(),
        ..IptablesOptions::new(family, snapshot.nodes["n0"].clone())
    }
}

fn rendered(snapshot: &Snapshot, family: IpFamily) -> String {
    let options = options(snapshot, family);
    let mut text = String::new();
    save(&IptablesRuleset::new(snapshot, &options), &mut text).unwrap();
    text
}

/// Rules by `table chain`, without what carries no meaning.
fn meaning(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut chains: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut table = "";
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        } else if let Some(declaration) = line.strip_prefix(':') {
            let chain = declaration.split(' ').next().unwrap();
            if !CANARIES.contains(&chain) {
                chains.entry(format!("{table} {chain}")).or_default();
            }
        } else if let Some(rule) = line.strip_prefix("-A ") {
            let chain = rule.split(' ').next().unwrap();
            let words: Vec<&str> = rule.split_whitespace().collect();
            let rules = chains.entry(format!("{table} {chain}")).or_default();
            rules.push(words.join(" "));
        } else {
            assert!(
                line.is_empty() || line == "COMMIT" || line.starts_with('#'),
                "{line}"
            );
        }
    }
    chains.retain(|name, rules| !rules.is_empty() || name.contains(" KUBE-"));
    for (name, rules) in &mut chains {
        if UNORDERED.iter().any(|chain| name.ends_with(chain)) {
            let closing = rules.iter().position(|rule| rule.contains(LAST));
            assert!(closing.is_none_or(|at| at + 1 == rules.len()), "{name}");
            let open = closing.unwrap_or(rules.len());
            rules[..open].sort();
        }
    }
    chains
}

fn assert_parity(scenario: &str) {
    let folder = captures().join(scenario);
    let snapshot = snapshot(&folder.join("input.yaml"));
    for (family, file) in [
        (IpFamily::V4, "iptables-save.txt"),
        (IpFamily::V6, "ip6tables-save.txt"),
    ] {
        let expected = meaning(&std::fs::read_to_string(folder.join(file)).unwrap());
        let actual = meaning(&rendered(&snapshot, family));
        let names: Vec<_> = expected.keys().collect();
        assert_eq!(actual.keys().collect::<Vec<_>>(), names, "{family} chains");
        for (name, rules) in &expected {
            assert_eq!(&actual[name], rules, "{family} {name}");
        }
    }
}

#[test]
fn cluster_ip_as_kube_proxy_writes_it() {
    assert_parity("01-clusterip");
}

#[test]
fn node_port_as_kube_proxy_writes_it() {
    assert_parity("03-nodeport");
}

#[test]
fn source_ranges_as_kube_proxy_writes_them() {
    assert_parity("04-loadbalancer-sourceranges");
}

#[test]
fn external_traffic_policy_local_as_kube_proxy_writes_it() {
    assert_parity("06-etp-local");
}

#[test]
fn client_affinity_as_kube_proxy_writes_it() {
    assert_parity("08-affinity");
}

#[test]
fn services_without_endpoints_as_kube_proxy_writes_them() {
    assert_parity("09-no-endpoints");
}

#[test]
fn every_capture_has_a_test() {
    let mut folders: Vec<String> = std::fs::read_dir(captures())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    folders.sort();
    assert_eq!(
        folders,
        [
            "01-clusterip",
            "03-nodeport",
            "04-loadbalancer-sourceranges",
            "06-etp-local",
            "08-affinity",
            "09-no-endpoints"
        ]
    );
}

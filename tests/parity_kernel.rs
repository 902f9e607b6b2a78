//! What `portolan apply` puts into the kernel, beside what real kube-proxy put there: every capture
//! under `tests/parity`, as `iptables-save` and `ip6tables-save` tell it. Root is needed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a failed test"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::program::{CLUSTER_CIDR, Run, portolan_in};
use support::{Family, Namespace};

/// A namespace with the addresses and routes of the node on which the captures were taken.
fn captured_node() -> Namespace {
    let node = Namespace::new();
    let lines = [
        "link set lo up",
        "link add eth0 type veth peer name other",
        "address add 192.168.10.100/24 dev eth0",
        "address add fd00:192:168:10::100/64 dev eth0 nodad",
        "link set other up",
        "link set eth0 up",
        "route add default via 192.168.10.1",
        "route add default via fd00:192:168:10::1",
    ];
    node.ip(&lines.map(str::to_owned));
    node
}

fn captures() -> Vec<PathBuf> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity");
    let entries = fs::read_dir(all)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut captures: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    captures.sort();
    assert!(captures.len() >= 6, "{captures:?}");
    captures
}

fn run(node: &Namespace, verb: &str, capture: &Path) -> Run {
    let state = tempfile::tempdir().unwrap();
    let (input, state) = (capture.join("input.yaml"), state.path().join("state"));
    let (input, state) = (input.to_str().unwrap(), state.to_str().unwrap());
    let which = [verb, "-f", input, "--mode", "iptables", "--node-name", "n0"];
    let settings = ["--cluster-cidr", CLUSTER_CIDR, "--state-dir", state];
    portolan_in(node, &[&which[..], &settings].concat())
}

/// The file of a capture that holds a family's rules.
fn saved(capture: &Path, family: Family) -> PathBuf {
    capture.join(family.program("-save.txt"))
}

/// What `compare.py` finds different; empty if nothing.
fn difference(node: &Namespace, capture: &Path, family: Family) -> String {
    let actual = tempfile::NamedTempFile::new().unwrap();
    fs::write(&actual, node.run(&family.program("-save"), &[])).unwrap();
    let output = Command::new("python3")
        .arg(capture.with_file_name("compare.py"))
        .arg("iptables")
        .arg(saved(capture, family))
        .arg(actual.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.code() {
        Some(0) => String::new(),
        Some(1) => format!("{}: {}\n{text}", capture.display(), family.program("-save")),
        _ => panic!("compare.py: {}", String::from_utf8_lossy(&output.stderr)),
    }
}

#[test]
fn apply_leaves_the_rules_that_kube_proxy_leaves() {
    let mut differences = String::new();
    for capture in captures() {
        let node = captured_node();
        run(&node, "apply", &capture).exits(0);
        for family in Family::BOTH {
            differences += &difference(&node, &capture, family);
        }
        run(&node, "verify", &capture).exits(0);
        run(&node, "diff", &capture).exits(0);
    }
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn a_difference_is_noticed() {
    let capture = &captures()[0];
    let node = captured_node();
    run(&node, "apply", capture).exits(0);
    node.run(
        "iptables",
        &["-t", "nat", "-A", "KUBE-MARK-MASQ", "-j", "RETURN"],
    );
    assert!(difference(&node, capture, Family::V4).contains("KUBE-MARK-MASQ"));
    assert_eq!(difference(&node, capture, Family::V6), "");
}

#[test]
fn the_rules_of_kube_proxy_are_taken_over_without_a_write() {
    for capture in captures() {
        let node = captured_node();
        // For the counters that the rules name and the settings that they need.
        run(&node, "apply", &capture).exits(0);
        for family in Family::BOTH {
            // Everything is replaced by what kube-proxy left there.
            let text = fs::read_to_string(saved(&capture, family)).unwrap();
            node.run_with_input(&family.program("-restore"), &[], &text);
        }
        let before = node.generation();
        run(&node, "diff", &capture).exits(0);
        run(&node, "apply", &capture).exits(0);
        assert_eq!(node.generation(), before, "{}", capture.display());
    }
}

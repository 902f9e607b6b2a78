//! 0 done or no difference, 1 failed, 2 bad usage or bad input, 3 a difference was found.

use crate::support::program::portolan_in;
use crate::support::{Namespace, portolan};
use crate::{Desk, refs};

#[track_caller]
fn bad_usage(args: &[&str], words: &str) {
    let run = portolan(args).exits(2);
    assert!(
        run.stderr.contains(words),
        "no {words:?} in: {}",
        run.stderr
    );
    assert_eq!(run.stdout, "", "{args:?}");
}

#[test]
fn bad_usage_is_2_and_says_what_was_wrong() {
    bad_usage(&[], "Usage: portolan");
    bad_usage(&["frobnicate"], "frobnicate");
    bad_usage(&["apply"], "--filename");
    bad_usage(&["render", "-f", "-", "--no-such-flag"], "--no-such-flag");
    bad_usage(&["render", "-f", "-", "-o", "frob"], "frob");
    bad_usage(&["render", "-f", "-", "--mode", "frob"], "frob");
    bad_usage(&["get", "frobs", "-f", "-"], "frobs");
}

#[test]
fn bad_values_of_flags_are_2_and_all_of_them_are_named() {
    let desk = Desk::new();
    let more = [
        "--cluster-cidr",
        "nonsense",
        "--iptables-masquerade-bit",
        "32",
    ];
    let run = portolan(&refs(&desk.web("render", &more))).exits(2);
    for words in [
        "--cluster-cidr",
        "nonsense",
        "--iptables-masquerade-bit",
        "32",
    ] {
        assert!(run.stderr.contains(words), "{}", run.stderr);
    }
}

#[test]
fn bad_input_is_2_and_names_file_and_field_and_touches_nothing() {
    let desk = Desk::new();
    let bad = "{apiVersion: v1, kind: Service, metadata: {name: x}, spec: {ports: [{port: 0}]}}";
    desk.write("bad.yaml", bad);
    let node = Namespace::new();
    let before = node.generation();
    for verb in ["apply", "diff", "verify", "render", "get services"] {
        let run = portolan_in(&node, &refs(&desk.args(verb, "bad.yaml", &[]))).exits(2);
        for words in ["bad.yaml", "spec.ports[0].port"] {
            assert!(run.stderr.contains(words), "{verb}: {}", run.stderr);
        }
        assert_eq!(run.stdout, "", "{verb}");
    }
    assert_eq!(node.generation(), before);
    assert!(!desk.path("state").exists());
}

#[test]
fn one_bad_document_stops_the_good_ones() {
    let desk = Desk::new();
    desk.write(
        "two.yaml",
        &format!("{}---\nkind: Service\napiVersion: v1\n", crate::WEB),
    );
    let node = Namespace::new();
    let before = node.generation();
    portolan_in(&node, &refs(&desk.args("apply", "two.yaml", &[]))).exits(2);
    assert_eq!(node.generation(), before);
}

#[test]
fn a_missing_file_is_2_and_named() {
    let desk = Desk::new();
    let run = portolan(&refs(&desk.args("render", "missing.yaml", &[]))).exits(2);
    assert!(run.stderr.contains("missing.yaml"), "{}", run.stderr);
}

#[test]
fn unknown_fields_warn_and_with_strict_are_2() {
    let desk = Desk::new();
    desk.write("extra.yaml", &format!("{}  frob: 1\n", crate::WEB));
    let run = portolan(&refs(&desk.args("render", "extra.yaml", &[]))).exits(0);
    assert!(run.stderr.contains("spec.frob"), "{}", run.stderr);
    let run = portolan(&refs(&desk.args("render", "extra.yaml", &["--strict"]))).exits(2);
    assert!(run.stderr.contains("spec.frob"), "{}", run.stderr);
}

#[test]
fn a_difference_is_3_and_none_is_0() {
    let desk = Desk::new();
    let node = Namespace::new();
    for verb in ["diff", "verify"] {
        portolan_in(&node, &refs(&desk.web(verb, &[]))).exits(3);
    }
    portolan_in(&node, &refs(&desk.web("apply", &[]))).exits(0);
    for verb in ["diff", "verify"] {
        portolan_in(&node, &refs(&desk.web(verb, &[]))).exits(0);
    }
}

#[test]
fn a_namespace_that_is_not_there_is_1() {
    let desk = Desk::new();
    for verb in ["apply", "diff", "verify"] {
        let run = portolan(&refs(&desk.web(verb, &["--netns", "no-such-namespace"]))).exits(1);
        assert!(run.stderr.contains("no-such-namespace"), "{}", run.stderr);
    }
    portolan(&["cleanup", "--netns", "/dev/null"]).exits(1);
}

#[test]
fn a_corrupt_state_file_is_reported_and_kept() {
    let desk = Desk::new();
    let node = Namespace::new();
    portolan_in(&node, &refs(&desk.web("apply", &[]))).exits(0);
    let files: Vec<_> = std::fs::read_dir(desk.path("state")).unwrap().collect();
    for file in files {
        std::fs::write(file.unwrap().path(), "{ this is not").unwrap();
    }
    let before = node.generation();
    let run = portolan_in(&node, &refs(&desk.web("apply", &[])));
    assert!(matches!(run.code, Some(1 | 2)), "{run:?}");
    assert!(
        run.stderr.contains(desk.path("state").to_str().unwrap()),
        "{}",
        run.stderr
    );
    assert_eq!(node.generation(), before);
    let kept = std::fs::read_dir(desk.path("state")).unwrap();
    assert!(kept.into_iter().any(|file| {
        std::fs::read_to_string(file.unwrap().path()).is_ok_and(|text| text == "{ this is not")
    }));
}

#[test]
fn help_and_version_are_0() {
    let version = portolan(&["--version"]).exits(0).stdout;
    assert_eq!(
        version.trim(),
        concat!("portolan ", env!("CARGO_PKG_VERSION"))
    );
    assert!(
        portolan(&["--help"])
            .exits(0)
            .stdout
            .contains("Exit codes: 0")
    );
    for verb in [
        "apply",
        "diff",
        "render",
        "verify",
        "cleanup",
        "get",
        "completions",
        "man",
    ] {
        let help = portolan(&[verb, "--help"]).exits(0);
        assert!(help.stdout.contains("Usage: portolan"), "{}", help.stdout);
        assert_eq!(help.stderr, "");
    }
}

//! Reading manifests: what is accepted, what is refused and in which words.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails there and then"
)]

use std::fs;
use std::path::{Path, PathBuf};

#[path = "manifests/inputs.rs"]
mod inputs;
#[path = "manifests/limits.rs"]
mod limits;

use portolan::source::manifest::{ManifestErrors, ManifestInput, Manifests, load};

const BAD: &str = "tests/manifests/bad";

fn read(path: &Path, strict: bool) -> Result<Manifests, ManifestErrors> {
    load(&ManifestInput {
        paths: vec![path.to_string_lossy().into_owned()],
        strict,
        recursive: false,
    })
}

/// A new case is two files: the manifest and, beside it, the text expected, which is the same name
/// with `.expected` in place of `.yaml` or `.json`. `.strict.yaml` is read strictly.
/// With BLESS=1 in the environment the texts found are written down instead, for you to judge.
#[test]
fn every_bad_manifest_is_refused_in_the_words_expected() {
    let mut cases: Vec<PathBuf> = fs::read_dir(BAD)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_none_or(|extension| extension != "expected")
        })
        .collect();
    cases.sort();
    assert!(cases.len() >= 60, "only {} bad manifests", cases.len());
    let mut wrong = Vec::new();
    for path in &cases {
        let strict = path.to_string_lossy().ends_with(".strict.yaml");
        let found = match read(path, strict) {
            Ok(_) => "accepted".to_owned(),
            Err(errors) => errors.to_string().replace(&format!("{BAD}/"), ""),
        };
        let expected = path.with_extension("expected");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&expected, format!("{found}\n")).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        if expected.trim_end() != found {
            wrong.push(format!(
                "{}\nexpected:\n{expected}found:\n{found}\n",
                path.display()
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

fn notes(manifests: &Manifests) -> Vec<String> {
    manifests.notes.iter().map(ToString::to_string).collect()
}

/// Whatever an API server prints must go through without a word, read strictly too.
#[test]
fn a_dump_of_kubectl_loads_clean() {
    let manifests = read(Path::new("tests/manifests/kubectl-get-all.yaml"), true).unwrap();
    assert_eq!(notes(&manifests), [""; 0]);
    assert_eq!((manifests.services.len(), manifests.pods.len()), (2, 1));
    let origin = manifests.origins.values().next_back().unwrap();
    assert_eq!(
        origin.to_string(),
        "tests/manifests/kubectl-get-all.yaml: document 1: item 1"
    );
    let snapshot = manifests.into_snapshot();
    let web = snapshot.services.values().next_back().unwrap();
    assert_eq!(web.ports[0].node_port, Some(31234));
    assert_eq!(web.ingress[0].ip.unwrap().to_string(), "192.168.10.240");
    assert_eq!(
        web.creation_timestamp.as_deref(),
        Some("2026-03-01T10:20:30Z")
    );
    // The input has slices for it: none are made from the pod besides.
    assert_eq!(snapshot.slices_of(&web.name).len(), 1);
    assert_eq!(snapshot.nodes["n0"].pod_cidrs.len(), 2);
}

#[test]
fn the_course_loads_and_what_is_not_read_is_said() {
    let manifests = load(&ManifestInput {
        paths: vec!["examples".to_owned()],
        strict: true,
        recursive: false,
    })
    .unwrap();
    let names: Vec<_> = manifests.services.keys().map(|name| &*name.name).collect();
    assert_eq!(
        names,
        [
            "cassandra",
            "external-db",
            "my-nodeport",
            "mycluster",
            "myclusterip",
            "myhead",
            "myloadbalance"
        ]
    );
    assert_eq!(
        notes(&manifests),
        [
            "examples/mydeploy.yml: Deployment default/mydp skipped: only Services, EndpointSlices, \
             Endpoints, Nodes, Pods and Namespaces are read",
            "examples/cassandra.yml: StatefulSet default/cassandra skipped: only Services, \
             EndpointSlices, Endpoints, Nodes, Pods and Namespaces are read",
        ]
    );
}

#[test]
fn every_example_opens_with_two_lines_that_say_what_it_shows() {
    for entry in fs::read_dir("examples").unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let comments = text
            .lines()
            .take_while(|line| line.starts_with("# "))
            .count();
        assert_eq!(comments, 2, "{}", path.display());
    }
}

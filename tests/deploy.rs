//! What is in `deploy/`: that it is what it claims to be.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a failed test"
)]

#[path = "support/skip.rs"]
mod skip;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;
use skip::{Lack, skip};

const PROGRAM: &str = env!("CARGO_BIN_EXE_portolan");

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(file)
}

/// All objects of the manifests that the kustomization lists.
fn objects() -> Vec<Value> {
    let text = fs::read_to_string(deploy("kubernetes/kustomization.yaml")).unwrap();
    let kustomization: Value = serde_yaml::from_str(&text).unwrap();
    let files = kustomization["resources"].as_array().unwrap();
    let mut objects = Vec::new();
    for file in files {
        let path = deploy("kubernetes").join(file.as_str().unwrap());
        let text = fs::read_to_string(path).unwrap();
        for document in serde_yaml::Deserializer::from_str(&text) {
            objects.push(Value::deserialize(document).unwrap());
        }
    }
    objects
}

fn object(kind: &str) -> Value {
    let mut found = objects()
        .into_iter()
        .filter(|object| object["kind"] == kind);
    let object = found.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(found.next().is_none(), "more than one {kind}");
    object
}

#[test]
fn the_role_allows_the_calls_that_are_made_and_no_others() {
    let role = object("ClusterRole");
    let mut allowed = BTreeSet::new();
    for rule in role["rules"].as_array().unwrap() {
        let texts = |field: &str| -> Vec<String> {
            let list = rule[field].as_array().unwrap().iter();
            list.map(|text| text.as_str().unwrap().to_owned()).collect()
        };
        for resource in texts("resources") {
            let mut verbs = texts("verbs");
            verbs.sort();
            allowed.insert((texts("apiGroups").join(","), resource, verbs.join(",")));
        }
    }
    let watched = [
        ("", "services"),
        ("", "nodes"),
        ("discovery.k8s.io", "endpointslices"),
        ("networking.k8s.io", "servicecidrs"),
    ];
    let watched = watched.map(|(group, resource)| (group, resource, "get,list,watch"));
    let made = watched
        .into_iter()
        .chain([("events.k8s.io", "events", "create,patch")]);
    let made: BTreeSet<_> = made
        .map(|(group, resource, verbs)| (group.to_owned(), resource.to_owned(), verbs.to_owned()))
        .collect();
    assert_eq!(allowed, made);
    let account = object("ServiceAccount")["metadata"].clone();
    let subject = object("ClusterRoleBinding")["subjects"][0].clone();
    assert_eq!(subject["name"], account["name"]);
    assert_eq!(subject["namespace"], account["namespace"]);
    let pod = &object("DaemonSet")["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], account["name"]);
}

#[test]
fn announcing_is_allowed_leases_and_status_and_nothing_else() {
    let read = |file: &str| fs::read_to_string(deploy("kubernetes-announce").join(file)).unwrap();
    let mut allowed = BTreeSet::new();
    for document in serde_yaml::Deserializer::from_str(&read("rbac.yaml")) {
        let object = Value::deserialize(document).unwrap();
        for rule in object["rules"].as_array().into_iter().flatten() {
            let kind = object["kind"].as_str().unwrap().to_owned();
            let texts = |field: &str| -> String {
                let list = rule[field].as_array().unwrap().iter();
                let list: Vec<&str> = list.map(|text| text.as_str().unwrap()).collect();
                list.join(",")
            };
            allowed.insert((kind, texts("resources"), texts("verbs")));
        }
    }
    let made = [
        ("Role", "leases", "create,delete,list,update"),
        ("ClusterRole", "services/status", "patch"),
    ];
    let made = made.map(|(kind, what, verbs)| (kind.to_owned(), what.to_owned(), verbs.to_owned()));
    assert_eq!(allowed, made.into());
    let kustomization: Value = serde_yaml::from_str(&read("kustomization.yaml")).unwrap();
    // kustomize refuses a base that the overlay is inside of.
    let overlay = deploy("kubernetes-announce").canonicalize().unwrap();
    for resource in kustomization["resources"].as_array().unwrap() {
        let base = overlay.join(resource.as_str().unwrap());
        let base = base.canonicalize().unwrap();
        assert!(!overlay.starts_with(&base), "{}", base.display());
    }
    // What is added to the pod is taken by the program.
    let patch = kustomization["patches"][0]["patch"].as_str().unwrap();
    let steps: Vec<Value> = serde_yaml::from_str(patch).unwrap();
    let values = steps.iter().map(|step| step["value"].as_str().unwrap());
    let flags: Vec<&str> = values.filter(|value| value.starts_with("--")).collect();
    let help = Command::new(PROGRAM)
        .args(["run", "--help"])
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for flag in flags {
        let name = flag.split('=').next().unwrap();
        assert!(help.contains(name), "{name}");
    }
}

#[test]
fn the_pods_arguments_and_configuration_are_taken() {
    let configuration = object("ConfigMap")["data"]["config.conf"].clone();
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config.conf");
    fs::write(&config, configuration.as_str().unwrap()).unwrap();
    let daemon_set = object("DaemonSet");
    let pod = &daemon_set["spec"]["template"]["spec"];
    for (list, more) in [("initContainers", 1), ("containers", 0)] {
        let container = &pod[list][0];
        let args = container["args"].as_array().unwrap().iter();
        let args: Vec<String> = args
            .map(|arg| {
                let arg = arg.as_str().unwrap().replace("$(NODE_NAME)", "node-1");
                arg.replace("/var/lib/kube-proxy/config.conf", config.to_str().unwrap())
            })
            .collect();
        assert_eq!(
            args.iter().filter(|arg| *arg == "--init-only").count(),
            more
        );
        let written = directory.path().join("written");
        let mut command = Command::new(PROGRAM);
        command.args(args).arg("--write-config-to").arg(&written);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let effective: Value = serde_yaml::from_str(&fs::read_to_string(written).unwrap()).unwrap();
        assert_eq!(effective["hostnameOverride"], "node-1");
        assert_eq!(effective["mode"], "nftables");
    }
}

#[test]
fn the_container_that_stays_has_one_capability() {
    let daemon_set = object("DaemonSet");
    let pod = &daemon_set["spec"]["template"]["spec"];
    let security = &pod["containers"][0]["securityContext"];
    assert_eq!(security["capabilities"]["drop"], serde_json::json!(["ALL"]));
    assert_eq!(
        security["capabilities"]["add"],
        serde_json::json!(["NET_ADMIN"])
    );
    assert_eq!(security["privileged"], Value::Null);
}

#[test]
fn the_image_holds_every_library_that_the_program_links() {
    let output = Command::new("ldd").arg(PROGRAM).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    // What gcr.io/distroless/cc has, and what the Dockerfile copies.
    let held = [
        "linux-vdso",
        "ld-linux",
        "libc",
        "libm",
        "libgcc_s",
        "libnftnl",
        "libmnl",
    ];
    for line in text.lines() {
        let library = line.trim().rsplit('/').next().unwrap();
        let library = line
            .trim()
            .split(' ')
            .next()
            .filter(|l| l.starts_with("lib"))
            .unwrap_or(library);
        let name = library.split(['.', '(']).next().unwrap();
        assert!(held.iter().any(|held| name.starts_with(held)), "{line}");
    }
    let dockerfile = fs::read_to_string(deploy("Dockerfile")).unwrap();
    assert!(dockerfile.contains("libnftnl|libmnl"));
}

#[test]
fn systemd_takes_the_unit_and_calls_it_well_confined() {
    let Ok(version) = Command::new("systemd-analyze").arg("--version").output() else {
        return skip(Lack::Machine, "systemd-analyze is not installed");
    };
    assert!(version.status.success());
    let directory = tempfile::tempdir().unwrap();
    let unit = directory.path().join("portolan.service");
    let text = fs::read_to_string(deploy("systemd/portolan.service")).unwrap();
    fs::write(&unit, text.replace("/usr/local/bin/portolan", PROGRAM)).unwrap();
    let analyze = |args: &[&str]| {
        let output = Command::new("systemd-analyze")
            .args(args)
            .arg(&unit)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text)
    };
    let (taken, said) = analyze(&["verify"]);
    assert!(taken, "{said}");
    assert!(!said.contains("portolan.service"), "{said}");
    // 3.5 is well above what a service with all of this protection is given.
    let (confined, said) = analyze(&["security", "--offline=true", "--threshold=35"]);
    assert!(confined, "{said}");
}

#[test]
fn names_in_the_kustomization_are_unique() {
    let mut seen = BTreeMap::new();
    for object in objects() {
        let name = (
            object["kind"].clone().to_string(),
            object["metadata"]["name"].to_string(),
        );
        assert!(seen.insert(name.clone(), ()).is_none(), "{name:?}");
    }
    assert_eq!(seen.len(), 5);
}

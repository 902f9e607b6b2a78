//! What happens to files besides being written to: they come and go, and are reached by links,
//! patterns and more than one argument.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::{Live, replace, service, slice};

#[test]
fn a_file_that_comes_or_goes_in_a_directory_brings_or_takes_its_objects() {
    let mut live = Live::of_directory(&[("in/a.yaml", &service("a"))]);
    live.write("in/b.yaml", &service("b"));
    live.write("in/notes.txt", "not a manifest");
    live.touched(&["in/b.yaml", "in/notes.txt"]).unwrap();
    assert_eq!(live.services(), ["a", "b"]);
    fs::remove_file(live.path("in/a.yaml")).unwrap();
    let delta = live.touched(&["in/a.yaml"]).unwrap();
    assert_eq!(delta.services.len(), 1);
    assert_eq!(live.services(), ["b"]);
    fs::rename(live.path("in/b.yaml"), live.path("in/c.yaml")).unwrap();
    let delta = live.touched(&["in/b.yaml", "in/c.yaml"]).unwrap();
    assert!(delta.is_empty(), "the same object in another file");
}

#[test]
fn the_last_file_of_a_directory_is_not_given_up() {
    let mut live = Live::of_directory(&[("in/a.yaml", &service("a"))]);
    fs::remove_file(live.path("in/a.yaml")).unwrap();
    let error = live.touched(&["in/a.yaml"]).unwrap_err().to_string();
    assert!(error.contains("no files in this directory"), "{error}");
    assert_eq!(live.services(), ["a"], "still in force");
    live.write("in/b.yaml", &service("b"));
    live.touched(&["in/b.yaml"]).unwrap();
    assert_eq!(live.services(), ["b"]);
}

#[test]
fn a_directory_that_is_made_anew_is_read_anew() {
    let mut live = Live::of_directory(&[("in/a.yaml", &service("a"))]);
    fs::remove_dir_all(live.path("in")).unwrap();
    assert!(live.touched(&["in", "in/a.yaml"]).is_err());
    live.write("in/b.yaml", &service("b"));
    live.touched(&["in"]).unwrap();
    assert_eq!(live.services(), ["b"]);
}

#[test]
fn refused_changes_are_reported_once_and_go_in_when_all_is_well() {
    let mut live = Live::of_directory(&[("in/a.yaml", &service("a")), ("in/b.yaml", "")]);
    live.write("in/a.yaml", &service("other"));
    live.write("in/b.yaml", "kind: [");
    assert!(live.touched(&["in/a.yaml", "in/b.yaml"]).is_err());
    assert_eq!(live.services(), ["a"]);
    live.write("in/c.yaml", &service("c"));
    assert!(
        live.touched(&["in/c.yaml"]).is_ok(),
        "the same refusal again"
    );
    assert!(live.source.failing().is_some());
    live.write("in/b.yaml", "kind: Service");
    assert!(live.touched(&["in/b.yaml"]).is_err(), "another refusal");
    live.write("in/b.yaml", "");
    live.touched(&["in/b.yaml"]).unwrap();
    assert_eq!(live.services(), ["c", "other"]);
}

#[test]
fn an_address_that_is_taken_is_a_refusal_until_it_is_given_back() {
    let fixed = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\n\
             spec: {{clusterIP: 10.129.0.9, ports: [{{port: 80}}]}}\n"
        )
    };
    let mut live = Live::of_directory(&[("in/b.yaml", &fixed("b"))]);
    live.write("in/a.yaml", &fixed("a"));
    let error = live.touched(&["in/a.yaml"]).unwrap_err().to_string();
    assert!(
        error.contains("a.yaml: document 1: Service default/a"),
        "{error}"
    );
    assert!(
        error.contains("to Service default/b"),
        "the older one keeps it: {error}"
    );
    fs::remove_file(live.path("in/b.yaml")).unwrap();
    live.touched(&["in/b.yaml"]).unwrap();
    assert_eq!(live.services(), ["a"]);
}

#[test]
fn allocations_outlive_the_agent() {
    let mut live = Live::of_directory(&[("in/a.yaml", &service("a"))]);
    live.write("in/b.yaml", &service("b"));
    live.touched(&["in/b.yaml"]).unwrap();
    fs::remove_file(live.path("in/a.yaml")).unwrap();
    live.touched(&["in/a.yaml"]).unwrap();
    assert!(live.path("state/allocations.journal").exists());
    let before = live.snapshot.clone();
    // Another file before the old one by name would get its address without a memory.
    live = live.again();
    assert_eq!(live.snapshot, before);
    assert!(
        !live.path("state/allocations.journal").exists(),
        "merged at start"
    );
}

#[test]
fn what_is_behind_a_link_is_seen() {
    let home = [
        ("real/one.yaml", &*service("one")),
        ("in/a.yaml", &service("a")),
    ];
    let mut live = Live::of_directory(&home);
    symlink("../real/one.yaml", live.path("in/link.yaml")).unwrap();
    live.touched(&["in/link.yaml"]).unwrap();
    assert_eq!(live.services(), ["a", "one"]);
    let watched = live.source.watch_list().ways().clone();
    let behind = live.path("in/../real/one.yaml");
    assert!(watched.contains(&behind));
    live.write("real/one.yaml", &service("two"));
    live.touched(&["in/../real/one.yaml"]).unwrap();
    assert_eq!(live.services(), ["a", "two"]);
    replace(&behind, &service("three"));
    live.touched(&["in/../real/one.yaml"]).unwrap();
    assert_eq!(live.services(), ["a", "three"]);
}

/// As the kubelet updates a mounted ConfigMap: a new directory, and `..data` points to it.
#[test]
fn a_mounted_config_map_changes_as_one() {
    for recursive in [false, true] {
        let mut live = Live::of(&[("in/x.yaml", &service("x"))], &["in"], recursive);
        let publish = |live: &Live, version: &str, files: &[(&str, String)]| {
            for (name, text) in files {
                live.write(&format!("in/..{version}/{name}"), text);
            }
            let data = live.path("in/..data");
            symlink(format!("..{version}"), live.path("in/..data_tmp")).unwrap();
            fs::rename(live.path("in/..data_tmp"), data).unwrap();
        };
        publish(
            &live,
            "v1",
            &[("a.yaml", service("a")), ("b.yaml", service("b"))],
        );
        for name in ["a.yaml", "b.yaml"] {
            symlink(format!("..data/{name}"), live.path(&format!("in/{name}"))).unwrap();
        }
        live.touched(&["in/..v1", "in/..data", "in/a.yaml", "in/b.yaml"])
            .unwrap();
        assert_eq!(live.services(), ["a", "b", "x"]);
        let files = [("a.yaml", service("c")), ("b.yaml", service("b"))];
        publish(&live, "v2", &files);
        fs::remove_dir_all(live.path("in/..v1")).unwrap();
        live.touched(&["in/..v1", "in/..v2", "in/..data"]).unwrap();
        assert_eq!(live.services(), ["b", "c", "x"], "recursive: {recursive}");
    }
}

#[test]
fn directories_below_come_and_go() {
    let files = [
        ("in/a.yaml", &*service("a")),
        ("in/sub/b.yaml", &service("b")),
    ];
    let mut live = Live::of(&files, &["in"], true);
    live.write("in/new/deep/c.yaml", &service("c"));
    live.touched(&["in/new"]).unwrap();
    assert_eq!(live.services(), ["a", "b", "c"]);
    assert!(
        live.source
            .watch_list()
            .directories()
            .contains(&live.path("in/new/deep"))
    );
    fs::rename(live.path("in/new"), live.path("elsewhere")).unwrap();
    fs::remove_dir_all(live.path("in/sub")).unwrap();
    live.touched(&["in/new", "in/sub", "in/sub/b.yaml"])
        .unwrap();
    assert_eq!(live.services(), ["a"]);
}

#[test]
fn patterns_follow_what_begins_or_ceases_to_match() {
    let files = [
        ("in/x/svc-a.yaml", &*service("a")),
        ("in/x/other.yaml", &service("o")),
    ];
    let mut live = Live::of(&files, &["in/*/svc-*.yaml"], false);
    assert_eq!(live.services(), ["a"]);
    live.write("in/y/svc-b.yaml", &service("b"));
    live.touched(&["in/y"]).unwrap();
    live.write("in/x/svc-c.yaml", &service("c"));
    live.touched(&["in/x/svc-c.yaml"]).unwrap();
    assert_eq!(live.services(), ["a", "b", "c"]);
    fs::remove_file(live.path("in/x/svc-a.yaml")).unwrap();
    live.touched(&["in/x/svc-a.yaml"]).unwrap();
    live.write("in/y/svc-b.yaml", &service("d"));
    live.touched(&["in/y/svc-b.yaml"]).unwrap();
    assert_eq!(live.services(), ["c", "d"]);
}

#[test]
fn a_file_named_twice_is_one_file() {
    let mut live = Live::of(&[("in/a.yaml", &service("a"))], &["in/a.yaml", "in"], false);
    live.write("in/a.yaml", &service("b"));
    live.write("in/c.yaml", &service("c"));
    live.touched(&["in/a.yaml", "in/c.yaml"]).unwrap();
    assert_eq!(live.services(), ["b", "c"]);
    fs::remove_file(live.path("in/a.yaml")).unwrap();
    assert!(
        live.touched(&["in/a.yaml"]).is_err(),
        "the argument leads nowhere"
    );
    live.write("in/a.yaml", &service("d"));
    live.touched(&["in/a.yaml"]).unwrap();
    assert_eq!(live.services(), ["c", "d"]);
}

#[test]
fn a_file_that_is_replaced_by_a_directory_is_noticed() {
    let files = [("in/a.yaml", &*service("a")), ("in/b.yaml", &service("b"))];
    let mut live = Live::of_directory(&files);
    fs::remove_file(live.path("in/a.yaml")).unwrap();
    fs::create_dir(live.path("in/a.yaml")).unwrap();
    live.touched(&["in/a.yaml"]).unwrap();
    assert_eq!(live.services(), ["b"]);
}

#[test]
fn only_what_changed_is_in_a_delta() {
    let text = |address: &str| {
        format!(
            "{}---\n{}---\n{}",
            service("a"),
            slice("a-1", "a", &["10.1.0.1"]),
            slice("a-2", "a", &[address])
        )
    };
    let files = [
        ("in/a.yaml", &*text("10.1.0.2")),
        ("in/b.yaml", &service("b")),
    ];
    let mut live = Live::of_directory(&files);
    live.write(
        "in/a.yaml",
        &format!("# a remark\n---\n{}", text("10.1.0.3")),
    );
    let delta = live.touched(&["in/a.yaml"]).unwrap();
    assert!(delta.services.is_empty() && delta.nodes.is_empty());
    let (_, slices) = delta.slices.first_key_value().unwrap();
    assert_eq!(
        (delta.slices.len(), slices.len()),
        (1, 2),
        "all slices of the one Service"
    );
}

//! Applying the same again, applying something else, and only looking.

use std::process::Command;

use super::services;
use crate::support::program::{PROGRAM, Run};
use crate::support::{Mode, Service, Testbed, assert_same_rules};

#[test]
fn the_same_again_writes_nothing() {
    let bed = Testbed::with_pods(2);
    bed.apply(&services(&bed));
    let before = bed.node.namespace.generation();
    for _ in 0..3 {
        bed.apply(&services(&bed));
    }
    assert_eq!(bed.node.namespace.generation(), before);
}

#[test]
fn diff_tells_a_difference_until_it_is_applied() {
    let bed = Testbed::with_pods(2);
    let untouched = bed.node.namespace.generation();
    let diff = bed.verb("diff", &services(&bed), &[]).exits(3);
    let added = Mode::expects(
        "+-A KUBE-SERVICES -d 10.233.10.10/32",
        "10.233.10.10 . tcp . 80 comment \"default/web:p0\"",
    );
    assert!(diff.stdout.contains(added), "{}", diff.stdout);
    bed.verb("verify", &services(&bed), &[]).exits(3);
    bed.apply_with(&services(&bed), &["--dry-run"]);
    assert_eq!(
        bed.node.namespace.generation(),
        untouched,
        "only looking wrote something"
    );

    bed.apply(&services(&bed));
    let diff = bed.verb("diff", &services(&bed), &[]).exits(0);
    assert_eq!(diff.stdout, "");
    bed.verb("verify", &services(&bed), &[]).exits(0);
}

#[test]
fn the_summary_names_what_changes() {
    let bed = Testbed::with_pods(2);
    let first = bed.apply(&services(&bed));
    assert!(
        first.stdout.contains("+ default/web:p0"),
        "{}",
        first.stdout
    );
    let fewer = [Service::new("web", "10.233.10.10").to(&bed.pods[..1])];
    let second = bed.apply(&fewer);
    assert!(
        second.stdout.contains("~ default/web:p0"),
        "{}",
        second.stdout
    );
    assert!(
        second.stdout.contains("- default/empty:p0"),
        "{}",
        second.stdout
    );
}

#[test]
fn what_is_applied_is_all_there_is() {
    // The same rules, whichever way they came about.
    let bed = Testbed::with_pods(2);
    bed.apply(&services(&bed)[1..]);
    let direct = bed.node.namespace.rules();
    bed.apply(&services(&bed));
    bed.apply(&services(&bed)[1..]);
    assert_same_rules(&bed.node.namespace.rules(), &direct);
}

#[test]
fn a_namespace_can_be_named_by_path_and_by_name() {
    let bed = Testbed::with_pods(2);
    let name = format!("ptl-{}", std::process::id());
    let _named = Named::new(&name, &bed);
    let manifest = bed.write(&services(&bed));
    for netns in [bed.node.namespace.path().to_str().unwrap(), &name] {
        // From the namespace of the tests themselves, which stays as it is.
        let output = bed
            .command("apply", &manifest, &["--netns", netns])
            .output()
            .unwrap();
        Run::of(netns, &output).exits(0);
        bed.pod(1)
            .dial("10.233.10.10:80")
            .times(20)
            .assert_only(&["pod-1", "pod-2"]);
        bed.node.namespace.run(PROGRAM, &["cleanup"]);
    }
    let output = bed
        .command("apply", &manifest, &["--netns", "no-such"])
        .output()
        .unwrap();
    let failed = Run::of("--netns no-such", &output).exits(1);
    assert!(
        failed.stderr.contains("no-such does not exist"),
        "{}",
        failed.stderr
    );
}

/// A name under `/run/netns` for the node of a testbed, for as long as it lives.
struct Named<'a>(&'a str);

impl<'a> Named<'a> {
    fn new(name: &'a str, bed: &Testbed) -> Self {
        // `ip` finds a namespace by a process in it.
        let node = &bed.node.namespace;
        let mut child = node
            .enter(|| Command::new("sleep").arg("60").spawn())
            .unwrap();
        node.run("ip", &["netns", "attach", name, &child.id().to_string()]);
        child.kill().unwrap();
        child.wait().unwrap();
        Self(name)
    }
}

impl Drop for Named<'_> {
    fn drop(&mut self) {
        let _ = Command::new("ip")
            .args(["netns", "delete", self.0])
            .status();
    }
}

//! Without root: what needs it says so in one sentence, what does not simply works.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support::program::{PROGRAM, Run, portolan_in};
use crate::support::skip::{Lack, skip};
use crate::support::{Namespace, portolan};
use crate::{Desk, refs};

/// A desk whose program and manifests everybody may read.
fn public_desk() -> Desk {
    let desk = Desk::new();
    let open = |path| fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    fs::copy(PROGRAM, desk.path("portolan")).unwrap();
    for path in [desk.path("portolan"), desk.path("web.yaml"), desk.path("")] {
        open(path);
    }
    desk
}

/// Runs the desk's program as a user without any privilege.
fn as_nobody(desk: &Desk, args: &[String]) -> Run {
    let output = Command::new("setpriv")
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--inh-caps=-all",
        ])
        .arg(desk.path("portolan"))
        .args(args)
        .current_dir("/")
        .output()
        .expect("setpriv of util-linux");
    Run::of(&args.join(" "), &output)
}

/// Whether this process may become somebody else.
fn may_change_user() -> bool {
    if nix::unistd::geteuid().is_root() {
        return true;
    }
    skip(Lack::Machine, "only root can try what happens to others");
    false
}

#[test]
fn what_needs_root_says_so_in_one_sentence() {
    if !may_change_user() {
        return;
    }
    let desk = public_desk();
    let mut calls = ["apply", "diff", "verify"]
        .map(|verb| desk.web(verb, &[]))
        .to_vec();
    calls.push(vec!["cleanup".to_owned()]);
    for args in calls {
        let run = as_nobody(&desk, &args).exits(1);
        assert_eq!(run.stdout, "");
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        assert!(run.stderr.contains("root"), "{}", run.stderr);
    }
}

#[test]
fn rendering_and_reading_need_no_root() {
    if !may_change_user() {
        return;
    }
    let desk = public_desk();
    for verb in ["render", "get services", "get endpoints", "get nodes"] {
        let args = desk.web(verb, &[]);
        let theirs = as_nobody(&desk, &args).exits(0);
        assert_eq!(
            theirs.stdout,
            portolan(&refs(&args)).exits(0).stdout,
            "{verb}"
        );
    }
    for args in [["completions", "bash"], ["man", "--help"]] {
        as_nobody(&desk, &args.map(str::to_owned)).exits(0);
    }
}

#[test]
fn what_is_in_the_kernel_plays_no_part_in_rendering() {
    let desk = Desk::new();
    let node = Namespace::new();
    let render = desk.web("render", &["--node-name", "n0"]);
    let before = portolan_in(&node, &refs(&render)).exits(0);
    portolan_in(&node, &refs(&desk.web("apply", &[]))).exits(0);
    let after = portolan_in(&node, &refs(&render)).exits(0);
    assert_eq!(before.stdout, after.stdout);
}

//! What the kernel refuses, and what is somebody else's: told, worked around, made up for.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal::SIGTERM;

use crate::node::{everything, saved, testbed};
use crate::running::{Agent, has, is_bound, lay_out, log_of, until};
use crate::support::program::PROGRAM;
use crate::support::{Namespace, Service};

/// A scheduler that no other test uses: its module is made impossible to load for a while.
const RARE: &str = "lblcr";
const OBSTACLE: &str = "/etc/modprobe.d/portolan-test.conf";

/// In the machine of `scripts/vm` only: nobody else is there to miss the module.
fn is_in_vm() -> bool {
    std::env::var_os("PORTOLAN_TEST_VM").is_some()
}

fn forbid_scheduler() {
    assert!(
        !Path::new("/sys/module")
            .join(format!("ip_vs_{RARE}"))
            .exists(),
        "another test uses {RARE}"
    );
    fs::create_dir_all("/etc/modprobe.d").unwrap();
    fs::write(OBSTACLE, format!("install ip_vs_{RARE} /bin/false\n")).unwrap();
}

#[test]
fn a_taken_front_end_and_a_missing_scheduler_cost_other_services_nothing_and_heal() {
    let Some(bed) = testbed(1, 2) else { return };
    let node = &bed.node.namespace;
    let foreign = [
        "-A -t 192.168.10.100:30080 -s wrr",
        "-a -t 192.168.10.100:30080 -r 10.9.9.9:1 -m -w 5",
    ];
    node.run_with_input("ipvsadm-restore", &[], &(foreign.join("\n") + "\n"));
    let web = |pods: usize| {
        let service = Service::new("web", "10.233.10.1").node_port(30080);
        service.to(&bed.far_pods[..pods])
    };
    let other = |pods: usize| Service::new("other", "10.233.10.2").to(&bed.far_pods[..pods]);
    let rare = Service::new("rare", "10.233.10.3")
        .annotation("portolan.dev/ipvs-scheduler", RARE)
        .to(&bed.far_pods);
    let mut services = vec![web(2), other(2)];
    if is_in_vm() {
        forbid_scheduler();
        services.push(rare);
    }
    lay_out(&bed, &services);
    let agent = Agent::start(&bed, &["--cleanup-on-exit"]);

    // Told, and the rest works.
    let log = log_of(&bed);
    assert!(
        log.contains("virtual server TCP 192.168.10.100:30080"),
        "{log}"
    );
    for target in ["10.233.10.1:80", "10.233.10.2:80"] {
        let answers = bed.pod(1).dial(target).times(4);
        answers.assert_only(&["far-1", "far-2"]);
    }
    let lines = saved(node);
    for line in foreign {
        assert!(lines.contains(line), "{line} is gone: {lines:#?}");
    }
    if is_in_vm() {
        let told = || log_of(&bed).contains("with scheduler lblcr");
        until(&bed, "the refusal to be told", told);
        assert!(!is_bound(&bed, "10.233.10.3"), "not whole, but there");
    }
    // An endpoint goes meanwhile.
    services[1] = other(1);
    lay_out(&bed, &services);
    let gone = format!("-a -t 10.233.10.2:80 -r {}:8080 -m -w 1", bed.far_pod(2).v4);
    has(&bed, &gone, false);
    let answers = bed.pod(1).dial("10.233.10.2:80").times(4);
    answers.assert_only(&["far-1"]);

    // The obstacles go, and nobody is asked to do anything.
    if is_in_vm() {
        fs::remove_file(OBSTACLE).unwrap();
        has(&bed, "-A -t 10.233.10.3:80 -s lblcr", true);
        until(&bed, "the address", || is_bound(&bed, "10.233.10.3"));
        let answers = bed.pod(1).dial("10.233.10.3:80").times(4);
        answers.assert_all_answered();
    }
    node.run("ipvsadm", &["-D", "-t", "192.168.10.100:30080"]);
    has(&bed, "-A -t 192.168.10.100:30080 -s rr", true);
    let answers = bed.outside.dial(&bed.node.at(30080)).times(4);
    answers.assert_only(&["far-1", "far-2"]);
    agent.stop(SIGTERM);
    assert_eq!(saved(node).len(), 0);
}

#[test]
fn a_setting_that_was_refused_is_made_once_it_can_be_and_told_once() {
    let Some(bed) = testbed(1, 1) else { return };
    let node = &bed.node.namespace;
    node.set_sysctl("ipv4/vs/conntrack", "0");
    lay_out(
        &bed,
        &[Service::new("web", "10.233.10.1").to(&bed.far_pods)],
    );
    let agent = Agent::start_without_sysctls(&bed);
    let count = |words: &str| log_of(&bed).matches(words).count();
    let refused = "cannot set sysctl net/ipv4/vs/conntrack to 1: Read-only file system";
    assert_eq!(count(refused), 1, "{}", log_of(&bed));
    has(&bed, "-A -t 10.233.10.1:80 -s rr", true);
    // It is tried every few seconds, and that it is refused again is no news.
    std::thread::sleep(std::time::Duration::from_secs(8));
    assert_eq!(node.sysctl("ipv4/vs/conntrack"), "0");
    assert_eq!(count(refused), 1, "{}", log_of(&bed));
    agent.allow_sysctls();
    let made = "sysctl net.ipv4.vs.conntrack = 1 again";
    until(&bed, "the setting", || count(made) > 0);
    assert_eq!(node.sysctl("ipv4/vs/conntrack"), "1");
    std::thread::sleep(std::time::Duration::from_secs(8));
    assert_eq!(count(made), 1, "{}", log_of(&bed));
    agent.stop(SIGTERM);
}

/// `/proc/sys` is read-only in many containers.
#[test]
fn a_refused_setting_is_told_and_the_rest_done() {
    if crate::node::lacks_ipvs() {
        return;
    }
    let node = Namespace::new();
    let before = everything(&node);
    let directory = tempfile::tempdir().unwrap();
    let manifest = directory.path().join("services.yaml");
    let services = [Service::new("web", "10.233.10.1")];
    fs::write(&manifest, crate::support::manifests(&services)).unwrap();
    let script = format!(
        "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && \
         exec {PROGRAM} apply --mode ipvs --node-name n0 --ipvs-strict-arp -f {} --state-dir {}",
        manifest.display(),
        directory.path().join("state").display(),
    );
    let output = node.output("unshare", &["--mount", "sh", "-c", &script]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    for setting in [
        "net/ipv4/vs/conntrack to 1",
        "net/ipv4/conf/all/arp_ignore to 1",
    ] {
        let words = format!("cannot set sysctl {setting}: Read-only file system");
        assert!(told.contains(&words), "{told}");
    }
    assert!(saved(&node).contains("-A -t 10.233.10.1:80 -s rr"));
    // The next one makes up for it.
    let manifest = manifest.display().to_string();
    let state = directory.path().join("state").display().to_string();
    let args = [
        "apply",
        "--mode",
        "ipvs",
        "--node-name",
        "n0",
        "-f",
        &manifest,
    ];
    let args = [&args[..], &["--state-dir", &state, "--ipvs-strict-arp"]].concat();
    let run = crate::support::program::portolan_in(&node, &args).exits(0);
    assert!(!run.stderr.contains("cannot set"), "{}", run.stderr);
    assert_eq!(node.sysctl("ipv4/vs/conntrack"), "1");
    crate::support::program::portolan_in(&node, &["cleanup"]).exits(0);
    assert_eq!(everything(&node), before);
}

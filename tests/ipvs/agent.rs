//! `portolan run`: endpoints that go while connections last, restarts, and repair.

use std::fs::{self, File};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use crate::node::{everything, saved, testbed};
use crate::support::program::{CLUSTER_CIDR, PROGRAM, SERVICE_CIDR};
use crate::support::{Service, Testbed, manifests};

/// Long enough for an emulated machine under load.
const PATIENCE: Duration = Duration::from_secs(240);

struct Agent {
    child: Child,
}

impl Agent {
    fn start(bed: &Testbed, more: &[&str]) -> Self {
        let directory = bed.directory.path();
        let log = File::create(directory.join("log")).unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["run", "-v", "--mode", "ipvs", "--node-name", "n0"]);
        command.args([
            "--cluster-cidr",
            CLUSTER_CIDR,
            "--service-cidr",
            SERVICE_CIDR,
        ]);
        command.arg("--state-dir").arg(directory.join("state"));
        command.arg("-f").arg(directory.join("followed")).args(more);
        command.stderr(log);
        let child = bed.node.namespace.enter(|| command.spawn()).unwrap();
        let agent = Self { child };
        until(
            "the start",
            || log_of(bed).contains(" runs"),
            || log_of(bed),
        );
        agent
    }

    fn stop(mut self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
        self.child.wait().unwrap();
    }
}

fn log_of(bed: &Testbed) -> String {
    fs::read_to_string(bed.directory.path().join("log")).unwrap()
}

fn lay_out(bed: &Testbed, services: &[Service]) {
    let directory = bed.directory.path().join("followed");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join(".new"), manifests(services)).unwrap();
    fs::rename(directory.join(".new"), directory.join("services.yaml")).unwrap();
}

fn until(what: &str, is_so: impl Fn() -> bool, told: impl Fn() -> String) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(
            Instant::now() < end,
            "no end of waiting for {what}: {}",
            told()
        );
        thread::sleep(Duration::from_millis(200));
    }
}

/// Waits until `ipvsadm-save -n` has this line, or no such line any more.
fn has(bed: &Testbed, line: &str, wanted: bool) {
    let lines = || saved(&bed.node.namespace);
    let told = || format!("{:#?}\n{}", lines(), log_of(bed));
    until(line, || lines().contains(line) == wanted, told);
}

#[test]
fn a_long_connection_survives_the_scale_down_of_its_endpoint_and_damage_is_repaired() {
    let Some(bed) = testbed(1, 2) else { return };
    let node = &bed.node.namespace;
    let before = everything(node);
    let web = |pods: usize| Service::new("web", "10.233.10.1").to(&bed.far_pods[..pods]);
    let other = Service::new("other", "10.233.10.2").to(&bed.far_pods);
    let real = |n: usize, weight: u32| {
        let pod = &bed.far_pod(n).v4;
        format!("-a -t 10.233.10.1:80 -r {pod}:8080 -m -w {weight}")
    };
    lay_out(&bed, &[web(2), other.clone()]);
    let agent = Agent::start(&bed, &["--ipvs-drain-timeout", "1h"]);
    // Two connections in turn meet both endpoints.
    let mut talks = [(); 2].map(|()| bed.pod(1).dial("10.233.10.1:80").converse());
    let on = talks.each_mut().map(|talk| talk.say("hello").unwrap());
    let held = on.iter().position(|name| name == "far-2").unwrap();

    lay_out(&bed, &[web(1), other.clone()]);
    has(&bed, &real(2, 0), true);
    bed.pod(1)
        .dial("10.233.10.1:80")
        .times(6)
        .assert_only(&["far-1"]);
    assert_eq!(talks[held].say("still there").unwrap(), "far-2");

    // k/k#92019, k/k#108319: after a restart the weight still comes back, and the wait goes on.
    agent.stop(nix::sys::signal::Signal::SIGKILL);
    let agent = Agent::start(&bed, &["--ipvs-drain-timeout", "1h"]);
    has(&bed, &real(2, 0), true);
    lay_out(&bed, &[web(2), other.clone()]);
    has(&bed, &real(2, 1), true);
    lay_out(&bed, &[web(1), other.clone()]);
    has(&bed, &real(2, 0), true);
    assert_eq!(talks[held].say("and still").unwrap(), "far-2");
    drop(talks);
    has(&bed, &real(2, 0), false);

    // Damage: virtual servers flushed, an address deleted, the device deleted.
    node.run("ipvsadm", &["-C"]);
    has(&bed, "-A -t 10.233.10.2:80 -s rr", true);
    has(&bed, &real(1, 1), true);
    let address = || node.run("ip", &["-o", "addr", "show", "to", "10.233.10.2/32"]);
    node.run(
        "ip",
        &["addr", "del", "10.233.10.2/32", "dev", "kube-ipvs0"],
    );
    until(
        "the address",
        || address().contains("kube-ipvs0"),
        || log_of(&bed),
    );
    node.run("ip", &["link", "del", "kube-ipvs0"]);
    until(
        "the device",
        || address().contains("kube-ipvs0"),
        || log_of(&bed),
    );
    bed.pod(1)
        .dial("10.233.10.2:80")
        .times(2)
        .assert_all_answered();

    // A restart with equal state changes nothing; at the end everything is as it was.
    agent.stop(nix::sys::signal::Signal::SIGTERM);
    let state = everything(node);
    let agent = Agent::start(&bed, &["--cleanup-on-exit"]);
    assert_eq!(everything(node), state);
    agent.stop(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(everything(node), before);
}

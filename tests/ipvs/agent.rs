//! `portolan run`: endpoints that go while connections last, restarts, and repair.

use crate::node::{everything, testbed};
use crate::running::{Agent, has, is_bound, lay_out, until};
use crate::support::Service;

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
    let bound = || is_bound(&bed, "10.233.10.2");
    node.run(
        "ip",
        &["addr", "del", "10.233.10.2/32", "dev", "kube-ipvs0"],
    );
    until(&bed, "the address", bound);
    node.run("ip", &["link", "del", "kube-ipvs0"]);
    until(&bed, "the device", bound);
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

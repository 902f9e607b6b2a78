//! Connections of Services that are deleted, and time limits.

use nix::sys::signal::Signal::{SIGKILL, SIGTERM};

use crate::node::{everything, saved, testbed};
use crate::running::{Agent, has, is_bound, lay_out, until};
use crate::support::Service;

const WEB: &str = "10.233.10.1:80";

#[test]
fn a_deleted_service_ends_with_its_last_connection_and_limits_cut_connections_off() {
    let Some(bed) = testbed(1, 2) else { return };
    let node = &bed.node.namespace;
    let before = everything(node);
    let web = |pods: usize| Service::new("web", "10.233.10.1").to(&bed.far_pods[..pods]);
    let other = Service::new("other", "10.233.10.2").to(&bed.far_pods);
    let real = |n: usize, weight: u32| {
        let pod = &bed.far_pod(n).v4;
        format!("-a -t {WEB} -r {pod}:8080 -m -w {weight}")
    };
    let server = format!("-A -t {WEB} -s rr");
    let new = |target: &str| bed.pod(1).dial(target).times(3);

    // A deleted Service: its connection goes on, also across a restart; new ones are refused.
    lay_out(&bed, &[web(1), other.clone()]);
    let flags = ["--ipvs-drain-services", "--ipvs-drain-timeout", "1h"];
    let agent = Agent::start(&bed, &flags);
    let mut talk = bed.pod(1).dial(WEB).converse();
    assert_eq!(talk.say("hello").unwrap(), "far-1");
    lay_out(&bed, std::slice::from_ref(&other));
    has(&bed, &real(1, 0), true);
    assert_eq!(talk.say("still there").unwrap(), "far-1");
    let refused = new(WEB);
    assert_eq!(refused.refused, 3, "{refused}");
    agent.stop(SIGKILL);
    let agent = Agent::start(&bed, &flags);
    assert_eq!(talk.say("and still").unwrap(), "far-1");
    assert!(is_bound(&bed, "10.233.10.1"));
    drop(talk);
    has(&bed, &server, false);
    until(&bed, "the address to go", || !is_bound(&bed, "10.233.10.1"));
    new("10.233.10.2:80").assert_only(&["far-1", "far-2"]);
    // The Service may come back as if nothing had been.
    lay_out(&bed, &[web(1), other.clone()]);
    has(&bed, &real(1, 1), true);
    new(WEB).assert_only(&["far-1"]);
    // Without connections it is gone at once, address and all.
    lay_out(&bed, std::slice::from_ref(&other));
    has(&bed, &server, false);
    agent.stop(SIGTERM);

    // A limit: the endpoint goes though its connection lasts.
    lay_out(&bed, &[web(2), other.clone()]);
    let limit = ["--ipvs-drain-timeout", "2s", "--cleanup-on-exit"];
    let agent = Agent::start(&bed, &limit);
    let mut talks = [(); 2].map(|()| bed.pod(1).dial(WEB).converse());
    let on = talks.each_mut().map(|talk| talk.say("hello").unwrap());
    let held = on.iter().position(|name| name == "far-2").unwrap();
    lay_out(&bed, &[web(1), other.clone()]);
    // One look for both: between two, its weight may become 0.
    let gone = || {
        let lines = saved(node);
        [0, 1]
            .iter()
            .all(|weight| !lines.contains(&real(2, *weight)))
    };
    until(&bed, "the limit", gone);
    assert!(talks[held].say("cut off").is_err());
    assert_eq!(talks[1 - held].say("spared").unwrap(), "far-1");
    agent.stop(SIGTERM);
    assert_eq!(everything(node), before);

    // apply waits for nobody: with a limit the endpoint stays at weight 0, with none it goes.
    bed.ipvs_apply(&[web(2)], &[]);
    let mut talks = [(); 2].map(|()| bed.pod(1).dial(WEB).converse());
    let on = talks.each_mut().map(|talk| talk.say("hello").unwrap());
    let held = on.iter().position(|name| name == "far-2").unwrap();
    bed.ipvs_apply(&[web(1)], &["--ipvs-drain-timeout", "1h"]);
    assert!(saved(node).contains(&real(2, 0)));
    assert_eq!(talks[held].say("still there").unwrap(), "far-2");
    bed.ipvs_apply(&[web(1)], &["--ipvs-drain-timeout", "0s"]);
    assert!(gone());
    assert!(talks[held].say("cut off").is_err());
    bed.ipvs_cleanup();
    assert_eq!(everything(node), before);
}

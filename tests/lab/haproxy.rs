//! A real HAProxy on the outside balancer, in front of the nodes.

use std::thread;
use std::time::{Duration, Instant};

use crate::bench::{TestLab, example};

/// The balancer, at the Service's port.
const FRONT: &str = "http://192.168.10.20";
/// How often HAProxy checks a node.
const CHECK: Duration = Duration::from_secs(1);

fn lab() -> TestLab {
    let (service, pods) = (example("loadbalancer.yml"), example("mydeploy.yml"));
    TestLab::up_with(&["--haproxy", "-f", &service, &pods])
}

#[test]
fn haproxy_brings_outside_users_to_pods_through_port_32000_of_the_nodes() {
    let lab = lab();
    assert_eq!(lab.status()["haproxyRuns"], true);
    let file = format!("/run/portolan/lab/{}/haproxy/haproxy.cfg", lab.name);
    let file = std::fs::read_to_string(file).unwrap();
    for node in crate::bench::NODES {
        let line = file
            .lines()
            .find(|line| line.contains(&format!("{node}:32000")));
        assert!(line.is_some_and(|line| line.contains(" check")), "{file}");
    }
    assert!(file.contains("balance roundrobin"), "{file}");
    let spread = lab.curl("client", FRONT, 300);
    spread.assert_only(&lab.web());
    // Every node takes its turn: pods see the balancer's connections by way of each.
    let counters = |node: &str| {
        let rules = lab.output(
            node,
            &["conntrack", "-L", "-p", "tcp", "--orig-port-dst", "32000"],
        );
        rules.lines().count()
    };
    for node in ["n1", "n2", "n3"] {
        let seen = counters(node);
        assert!(
            (95..=200).contains(&seen),
            "{node} has seen {seen} connections"
        );
    }
}

/// What counts is when a request that came to nothing was begun: one that was under way through the
/// node is nobody's to save.
#[test]
fn while_a_node_fails_users_see_errors_for_at_most_one_check_interval() {
    let lab = &lab();
    lab.curl("client", FRONT, 30);
    let mut failing = thread::scope(|scope| {
        let users: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| ask_while(lab, 8 * CHECK)))
            .collect();
        thread::sleep(CHECK);
        lab.run("fail", &["n2"]).exits(0);
        let (mut errors, mut answers) = (Vec::new(), 0);
        for user in users {
            let (failed, answered) = user.join().unwrap();
            errors.extend(failed);
            answers += answered;
        }
        assert!(answers > 30, "{answers} answers");
        errors
    });
    failing.sort();
    if let (Some(first), Some(last)) = (failing.first(), failing.last()) {
        let span = *last - *first;
        println!("{} errors in {span:?}", failing.len());
        assert!(span <= CHECK, "{} errors in {span:?}", failing.len());
    }
    lab.curl("client", FRONT, 60).assert_only(&lab.web());
    lab.run("heal", &[]).exits(0);
}

/// Asks again and again; gives when those requests were begun that failed, and how many did not.
fn ask_while(lab: &TestLab, time: Duration) -> (Vec<Instant>, usize) {
    let (mut errors, mut answers) = (Vec::new(), 0);
    let end = Instant::now() + time;
    while Instant::now() < end {
        let begun = Instant::now();
        if lab_free_curl(lab) {
            answers += 1;
        } else {
            errors.push(begun);
        }
    }
    (errors, answers)
}

/// One connection, past the lab's lock, which `lab fail` holds.
fn lab_free_curl(lab: &TestLab) -> bool {
    let space = format!("portolan.{}.client", lab.name);
    let args = [
        "netns",
        "exec",
        &space,
        "curl",
        "-sS",
        "-m",
        "15",
        "-o",
        "/dev/null",
        FRONT,
    ];
    crate::bench::here("ip", &args).status.success()
}

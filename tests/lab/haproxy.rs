//! A real HAProxy on the outside balancer, in front of the nodes.

use std::thread;
use std::time::{Duration, Instant};

use crate::bench::{PATIENCE, TestLab, example};

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

#[test]
fn while_a_node_fails_errors_end_within_a_few_checks() {
    let lab = lab();
    lab.curl("client", FRONT, 30);
    let failing = thread::scope(|scope| {
        let work = scope.spawn(|| lab.run("fail", &["n2"]).exits(0));
        let mut errors = Vec::new();
        let begin = Instant::now();
        let mut good_since = None;
        // Until the node is gone and five checks have passed without an error.
        while !work.is_finished() || good_since.is_none_or(|at: Instant| at.elapsed() < 5 * CHECK) {
            assert!(begin.elapsed() < PATIENCE, "{errors:?}");
            let spread = lab_free_curl(&lab);
            if spread {
                good_since.get_or_insert_with(Instant::now);
            } else {
                errors.push(begin.elapsed());
                good_since = None;
            }
        }
        work.join().unwrap();
        errors
    });
    if let (Some(first), Some(last)) = (failing.first(), failing.last()) {
        // A busy machine checks late: what counts is that it ends by itself, and soon.
        assert!(*last - *first <= 3 * CHECK, "errors at {failing:?}");
    }
    lab.curl("client", FRONT, 60).assert_only(&lab.web());
    lab.run("heal", &[]).exits(0);
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
        "5",
        "-o",
        "/dev/null",
        FRONT,
    ];
    crate::bench::here("ip", &args).status.success()
}

//! The course in each mode: the same clients see the same, whatever does it.

use crate::bench::{NODES, TestLab};

/// What every mode must do: a cluster IP from inside, a node port from outside on every node.
fn works(mode: &str) {
    let examples = [
        "clusterip.yml",
        "mynodeport.yml",
        "mydeploy.yml",
        "myhead.yml",
    ];
    let lab = TestLab::in_mode(mode, &examples);
    assert_eq!(lab.status()["mode"], mode);
    let web = lab.web();
    let inside = lab.curl("deploy/mydp", "http://10.233.10.10", 300);
    inside.assert_even_over(&web);
    lab.curl("n1", "http://10.233.10.10", 30);
    for node in NODES {
        let url = format!("http://{node}:30080");
        lab.curl("client", &url, 150).assert_even_over(&web);
    }
    // DNS is a Service too.
    lab.curl("deploy/mydp", "http://myclusterip", 3);
    lab.assert_unreachable("client", "http://10.233.10.10");
}

#[test]
fn the_course_works_in_nftables_mode() {
    works("nftables");
}

#[test]
fn the_course_works_in_iptables_mode() {
    works("iptables");
}

#[test]
fn the_course_works_in_userspace_mode() {
    works("userspace");
}

#[test]
fn a_mode_that_the_kernel_does_not_have_costs_nothing_that_there_was() {
    let lab = TestLab::with_examples(&["mynodeport.yml", "mydeploy.yml"]);
    let url = format!("http://{}:30080", NODES[0]);
    let run = lab.run("mode", &["ipvs"]);
    if run.code == Some(0) {
        // It has it: turns are taken exactly.
        let spread = lab.curl("client", &url, 60);
        assert!(
            spread.answers.values().all(|count| *count == 20),
            "{spread:?}"
        );
        assert_eq!(lab.status()["mode"], "ipvs");
        return;
    }
    assert_ne!(run.code, Some(0), "{run:?}");
    assert!(
        run.stderr.contains("ip_vs") || run.stderr.contains("ipvs"),
        "{run:?}"
    );
    assert_eq!(lab.status()["mode"], "nftables");
    lab.curl("client", &url, 60).assert_only(&lab.web());
    let other = crate::bench::new_name();
    let run = crate::bench::lab(&["up", "--name", &other, "--mode", "ipvs"]);
    assert_ne!(run.code, Some(0), "{run:?}");
    crate::bench::lab(&["status", "--name", &other]).exits(2);
}

#[test]
fn agents_change_their_mode_while_clients_connect() {
    let lab = TestLab::with_examples(&["mynodeport.yml", "mydeploy.yml"]);
    let url = format!("http://{}:30080", NODES[1]);
    for mode in ["iptables", "nftables"] {
        std::thread::scope(|scope| {
            let spread = scope.spawn(|| lab.curl("client", &url, 400));
            lab.run("mode", &[mode]).exits(0);
            spread.join().unwrap();
        });
        assert_eq!(lab.status()["mode"], mode);
        let other = match mode {
            "iptables" => "portolan",
            _ => "KUBE-SERVICES",
        };
        let rules = lab.output("n2", &["nft", "list", "ruleset"]);
        let left = rules.lines().find(|line| line.contains(other));
        assert_eq!(left, None, "a rule of the mode before {mode} is left");
    }
}

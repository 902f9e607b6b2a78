//! What balancers and the kernel see of the agent.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::agent::{Agent, Directory, get};
use crate::support::{Service, Testbed};

/// The two nodes, the own one with more in it.
fn nodes(own: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Node\nmetadata:\n  name: n0\n{own}---\n\
         apiVersion: v1\nkind: Node\nmetadata:\n  name: n1\n"
    )
}

#[test]
fn healthz_fails_and_livez_does_not_while_the_node_is_being_deleted() {
    let bed = Testbed::with_pods(1);
    let directory = Directory::new();
    let mut agent = Agent::start(&bed, &directory, &[]);
    let code = |agent: &Agent<'_>, path: &str| agent.get(&format!("127.0.0.1:10256/{path}")).code;
    assert_eq!(code(&agent, "healthz"), 200);
    let taint = "spec:\n  taints:\n  - {key: ToBeDeletedByClusterAutoscaler, effect: NoSchedule}\n";
    let deleted = "  deletionTimestamp: \"2026-05-01T10:00:00Z\"\n";
    for own in [taint, deleted] {
        directory.write_text("nodes.yaml", &nodes(own));
        agent.eventually("it is told", |agent| code(agent, "healthz") == 503);
        assert_eq!(code(&agent, "livez"), 200, "{own}");
        let body = agent.get("127.0.0.1:10256/healthz").body;
        assert!(
            body.contains("\"nodeEligible\":false,\"healthy\":true"),
            "{body}"
        );
        directory.write_text("nodes.yaml", &nodes(""));
        agent.eventually("it stays after all", |agent| code(agent, "healthz") == 200);
    }
    agent.stop();
}

#[test]
fn sigterm_closes_the_health_checks_and_leaves_the_rules() {
    let bed = Testbed::with_pods(2);
    let directory = Directory::new();
    let web = Service::new("web", "10.233.10.70").to(&bed.pods[..1]);
    directory.write("web.yaml", &[web]);
    let agent = Agent::start(&bed, &directory, &[]);
    assert_eq!(agent.get("127.0.0.1:10256/healthz").code, 200);
    agent.signal(Signal::SIGTERM);
    let (status, log) = agent.ends();
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(get(&bed.node.namespace, "127.0.0.1:10256/healthz").code, 0);
    bed.pod(2).dial("10.233.10.70:80").answer();
}

/// The set of capabilities with these numbers (`include/uapi/linux/capability.h`).
fn set(capabilities: &[u32]) -> String {
    let bits: u64 = capabilities.iter().map(|number| 1 << number).sum();
    format!("{bits:016x}")
}

#[test]
fn every_thread_keeps_the_privileges_it_needs_and_no_others() {
    let bed = Testbed::with_pods(2);
    let directory = Directory::new();
    let web = |pod: usize| Service::new("web", "10.233.10.70").to([bed.pod(pod)]);
    directory.write("web.yaml", &[web(1)]);
    let mut agent = Agent::start(&bed, &directory, &[]);
    // DAC_READ_SEARCH, NET_BIND_SERVICE, NET_ADMIN, NET_RAW.
    let needed = set(&[2, 10, 12, 13]);
    let tasks = fs::read_dir(format!("/proc/{}/task", agent.pid())).unwrap();
    let mut threads = 0;
    for task in tasks {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap().trim().to_owned()
        };
        for name in ["CapPrm:", "CapEff:", "CapBnd:"] {
            assert_eq!(field(name), needed, "{name} of {}", field("Name:"));
        }
        for name in ["CapInh:", "CapAmb:"] {
            assert_eq!(field(name), set(&[]), "{name} of {}", field("Name:"));
        }
        assert_eq!(field("NoNewPrivs:"), "1");
        threads += 1;
    }
    assert!(threads > 2, "{threads}");
    // With those it can do everything that it has to.
    bed.node.namespace.run("nft", &["flush", "ruleset"]);
    agent.eventually("it repairs", |agent| agent.log().contains("repaired"));
    directory.write("web.yaml", &[web(2)]);
    agent.eventually("it follows", |_| {
        std::thread::sleep(Duration::from_millis(50));
        bed.pod(1).dial("10.233.10.70:80").answer().server == "pod-2"
    });
    agent.stop();
}

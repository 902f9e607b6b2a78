//! Manifests that change under a running agent.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::agent::{Agent, Directory};
use crate::support::dial::Outcome;
use crate::support::{Service, Testbed};

const VIP: &str = "10.233.10.10:80";

fn web() -> Service {
    Service::new("web", "10.233.10.10")
}

/// Who answers at an address.
fn server(bed: &Testbed, target: &str) -> String {
    match bed.node.dial(target).impatiently().once() {
        Outcome::Answered(answer) => answer.server,
        other => format!("{other:?}"),
    }
}

#[test]
fn a_file_that_is_replaced_or_removed_changes_what_answers() {
    let bed = Testbed::with_pods(2);
    let directory = Directory::new();
    directory.write("web.yaml", &[web().to(&bed.pods[..1])]);
    let mut agent = Agent::start(&bed, &directory, &[]);
    assert_eq!(server(&bed, VIP), "pod-1");
    directory.write("web.yaml", &[web().to(&bed.pods[1..])]);
    agent.eventually("the other pod answers", |_| server(&bed, VIP) == "pod-2");
    let other = Service::new("other", "10.233.10.11").to(&bed.pods);
    directory.write("other.yaml", &[other]);
    agent.eventually("a new service answers", |_| {
        server(&bed, "10.233.10.11:80").starts_with("pod-")
    });
    directory.remove("web.yaml");
    agent.eventually("the service is gone", |_| server(&bed, VIP) != "pod-2");
    assert!(server(&bed, "10.233.10.11:80").starts_with("pod-"));
}

#[test]
fn a_file_that_is_written_in_place_is_read_when_it_is_whole() {
    let bed = Testbed::with_pods(2);
    let directory = Directory::new();
    let mut agent = Agent::start(&bed, &directory, &[]);
    // The agent looks at what may have changed while it started: not at half a file.
    directory.write("web.yaml", &[web().to(&bed.pods[..1])]);
    agent.eventually("the first pod answers", |_| server(&bed, VIP) == "pod-1");
    let first = directory.write_in_place("web.yaml", &[web().to(&bed.pods[1..])]);
    agent.eventually("the other pod answers", |_| server(&bed, VIP) == "pod-2");
    let other = Service::new("other", "10.233.10.11").to(&bed.pods[..1]);
    let second = directory.write_in_place("web.yaml", &[web().to(&bed.pods[..1]), other]);
    agent.eventually("the first pod is back", |_| server(&bed, VIP) == "pod-1");
    assert_eq!(server(&bed, "10.233.10.11:80"), "pod-1");
    // A machine so busy that writing takes longer than readers wait may have half a file refused.
    if first.max(second) < Duration::from_millis(150) {
        assert!(!agent.log().contains("stay in force"), "{}", agent.log());
    }
}

/// A mounted ConfigMap: its files are links into a directory behind a link that is replaced.
#[test]
fn a_mounted_config_map_is_followed_through_its_links() {
    let bed = Testbed::with_pods(2);
    let directory = Directory::new();
    let version = |number: usize| {
        let name = format!("..v{number}");
        std::fs::create_dir(directory.file(&name)).unwrap();
        directory.write(&format!("{name}/web.yaml"), &[web().to([bed.pod(number)])]);
        std::os::unix::fs::symlink(&name, directory.file("..new")).unwrap();
        std::fs::rename(directory.file("..new"), directory.file("..data")).unwrap();
    };
    version(1);
    std::os::unix::fs::symlink("..data/web.yaml", directory.file("web.yaml")).unwrap();
    let mut agent = Agent::start(&bed, &directory, &[]);
    assert_eq!(server(&bed, VIP), "pod-1");
    version(2);
    agent.eventually("the other pod answers", |_| server(&bed, VIP) == "pod-2");
    std::fs::remove_dir_all(directory.file("..v1")).unwrap();
}

#[test]
fn what_it_has_followed_is_what_apply_would_do() {
    let bed = Testbed::with_pods(3);
    let directory = Directory::new();
    let mut agent = Agent::start(&bed, &directory, &[]);
    for round in 0..3 {
        let service = web().node_port(30080).to(&bed.pods[..=round]);
        directory.write("web.yaml", &[service]);
    }
    let last = Service::new("last", "10.233.10.12").to(&bed.pods);
    directory.write("last.yaml", &[last]);
    agent.eventually("it has caught up", |_| {
        server(&bed, "10.233.10.12:80").starts_with("pod-")
    });
    agent.stop();
    bed.verb_on("verify", directory.path(), &[]).exits(0);
}

#[test]
fn a_burst_of_files_is_programmed_in_few_steps() {
    let bed = Testbed::with_pods(1);
    let directory = Directory::new();
    let mut agent = Agent::start(&bed, &directory, &[]);
    let syncs = "kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family=\"IPv4\"}";
    let before = agent.metric(syncs).unwrap();
    let count = 60;
    for number in 1..=count {
        let name = format!("s{number}");
        let service = Service::new(&name, &format!("10.233.11.{number}")).to(&bed.pods);
        directory.write(&format!("{name}.yaml"), &[service]);
    }
    for number in [1, count] {
        let target = format!("10.233.11.{number}:80");
        agent.eventually(&target, |_| server(&bed, &target) == "pod-1");
    }
    let steps = agent.metric(syncs).unwrap() - before;
    assert!((1.0..20.0).contains(&steps), "{steps} for {count} files");
    let changed = agent.metric("kubeproxy_sync_proxy_rules_service_changes_total");
    assert_eq!(changed, Some(f64::from(count)));
}

#[test]
fn a_broken_file_is_reported_and_changes_nothing_until_it_is_mended() {
    let bed = Testbed::with_pods(2);
    let directory = Directory::new();
    directory.write("web.yaml", &[web().to(&bed.pods[..1])]);
    let mut agent = Agent::start(&bed, &directory, &[]);
    directory.write_text(
        "web.yaml",
        "kind: Service\napiVersion: v1\nmetadata: {name: [}\n",
    );
    agent.eventually("it says so", |agent| agent.log().contains("web.yaml"));
    let errors = "portolan_manifest_errors";
    agent.eventually("it counts", |agent| agent.metric(errors) == Some(1.0));
    assert_eq!(server(&bed, VIP), "pod-1");
    assert_eq!(
        agent.get("127.0.0.1:10256/healthz").code,
        200,
        "rules are in force"
    );
    // A mistake of another kind: named by file, document and field.
    let text = "---\n# nothing\n---\nkind: Service\napiVersion: v1\nmetadata: {name: web}\n\
                spec: {ports: [{port: 70000}]}\n";
    directory.write_text("web.yaml", text);
    agent.eventually("it names the field", |agent| {
        let log = agent.log();
        let line = log.lines().find(|line| line.contains("70000"));
        line.is_some_and(|line| line.contains("web.yaml") && line.contains("spec.ports[0].port"))
    });
    assert_eq!(server(&bed, VIP), "pod-1");
    directory.write("web.yaml", &[web().to(&bed.pods[1..])]);
    agent.eventually("it is mended", |_| server(&bed, VIP) == "pod-2");
    assert_eq!(agent.metric(errors), Some(0.0));
    assert!(agent.log().contains("in force again"), "{}", agent.log());
}

#[test]
fn a_service_without_an_address_keeps_the_one_it_was_given() {
    let bed = Testbed::with_pods(1);
    let directory = Directory::new();
    let text = |port: u16| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: any}}\n\
             spec: {{type: NodePort, ports: [{{port: {port}}}]}}\n"
        )
    };
    directory.write_text("any.yaml", &text(80));
    let mut agent = Agent::start(&bed, &directory, &[]);
    let state = || std::fs::read_to_string(bed.directory.path().join("state/allocations.json"));
    let before = state().unwrap();
    assert!(before.contains("any"), "{before}");
    directory.write_text("any.yaml", &text(81));
    let changes = "kubeproxy_sync_proxy_rules_service_changes_total";
    agent.eventually("it is followed", |agent| agent.metric(changes) == Some(2.0));
    agent.stop();
    let shown = bed.verb_on("verify", directory.path(), &[]).exits(0);
    assert!(shown.stdout.contains("verified"), "{}", shown.stdout);
}

#[test]
fn sighup_has_everything_read_again() {
    let bed = Testbed::with_pods(1);
    let directory = Directory::new();
    directory.write("web.yaml", &[web().to(&bed.pods)]);
    let mut agent = Agent::start(&bed, &directory, &[]);
    agent.signal(Signal::SIGHUP);
    agent.eventually("it reads again", |agent| {
        agent.log().contains("reading everything again")
    });
    let syncs = "kubeproxy_sync_full_proxy_rules_duration_seconds_count{ip_family=\"IPv4\"}";
    agent.eventually("it compares", |agent| agent.metric(syncs) >= Some(2.0));
    assert_eq!(server(&bed, VIP), "pod-1");
}

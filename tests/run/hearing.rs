//! Damage that is heard of, and repaired at once.

use std::fmt::Write;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::agent::{Agent, Directory};
use crate::support::dial::Outcome;
use crate::support::{Mode, Service, Testbed};

const VIP: &str = "10.233.10.10:80";
/// No look at the kernel but by hearing.
pub(crate) const ON_ITS_OWN: [&str; 2] = ["--sync-period", "1h"];

pub(crate) fn directory(bed: &Testbed) -> Directory {
    let directory = Directory::new();
    let web = Service::new("web", "10.233.10.10").to(&bed.pods);
    directory.write("web.yaml", &[web.node_port(30080)]);
    directory
}

pub(crate) fn nft(bed: &Testbed, script: &str) {
    let node = &bed.node.namespace;
    node.run_with_input("nft", &["-f", "-"], &format!("{script}\n"));
}

/// What stops all traffic to Services.
fn flush() -> &'static str {
    Mode::expects("flush table ip nat", "flush table ip portolan")
}

pub(crate) fn repairs(agent: &Agent<'_>, damage: &str) -> f64 {
    let name = format!("portolan_repairs_total{{damage=\"{damage}\"}}");
    agent.metric(&name).unwrap_or_default()
}

/// When a client that connects every 10 ms gets its answers, from `start` on.
fn answers(bed: &Testbed, start: Instant, enough: &(dyn Fn() -> bool + Sync)) -> Vec<Duration> {
    thread::scope(|scope| {
        let mut attempts = Vec::new();
        while !enough() {
            attempts.push(scope.spawn(|| {
                let at = start.elapsed();
                let outcome = bed.pod(2).dial(VIP).impatiently().once();
                matches!(outcome, Outcome::Answered(answer) if answer.server == "pod-1")
                    .then_some(at)
            }));
            thread::sleep(Duration::from_millis(10));
        }
        let ended = attempts.into_iter().map(|attempt| attempt.join().unwrap());
        ended.flatten().collect()
    })
}

/// On a machine with nothing else to do it is some 20 ms. Busy as it may be, one of many flushes
/// must be repaired in time, and none may be left.
#[test]
fn a_flush_is_over_for_clients_within_100_ms() {
    let bed = Testbed::with_pods(2);
    let directory = Directory::new();
    let web = Service::new("web", "10.233.10.10").to(&bed.pods[..1]);
    directory.write("web.yaml", &[web]);
    let mut agent = Agent::start(&bed, &directory, &ON_ITS_OWN);
    let mut outages = Vec::new();
    for round in 1..=20 {
        let start = Instant::now();
        let (flushed, answered) = thread::scope(|scope| {
            let over = || start.elapsed() > Duration::from_millis(900);
            let bed = &bed;
            let client = scope.spawn(move || answers(bed, start, &over));
            thread::sleep(Duration::from_millis(100));
            nft(bed, flush());
            (start.elapsed(), client.join().unwrap())
        });
        let next = answered.iter().find(|&&at| at > flushed);
        let outage = next.map(|&at| at - flushed);
        outages.push(outage);
        agent.eventually("it is counted", |agent| {
            repairs(agent, "rules_deleted") >= f64::from(round)
        });
        if outage.is_some_and(|outage| outage < Duration::from_millis(100)) {
            println!("{outages:?}");
            return;
        }
    }
    panic!("{outages:?}\n{}", agent.log());
}

#[test]
fn a_storm_of_damage_is_damped_and_told() {
    let bed = Testbed::with_pods(1);
    let directory = directory(&bed);
    let mut agent = Agent::start(&bed, &directory, &ON_ITS_OWN);
    let rules = bed.node.namespace.rules();
    let commits = |agent: &Agent<'_>| agent.metric("portolan_commits_total").unwrap();
    let before = commits(&agent);
    let (mut flushes, end) = (0, Instant::now() + Duration::from_secs(3));
    while Instant::now() < end || flushes < 100 {
        nft(&bed, flush());
        flushes += 1;
    }
    let storm = end.elapsed().as_secs_f64() + 3.0;
    // 0, 50, 100, 200, 400, 800, 1600 ms apart, then every 3 s; fewer on a machine so busy that
    // tables cannot be read between two flushes.
    let repaired = commits(&agent) - before;
    assert!(
        (2.0..12.0 + storm).contains(&repaired),
        "{repaired} repairs of {flushes} flushes in {storm} s\n{}",
        agent.log()
    );
    agent.eventually("all is back", |_| bed.node.namespace.rules() == rules);
    let log = agent.log();
    assert!(log.contains("repairing less often"), "{log}");
    // The damage that a repair waits for, the damage meanwhile, and the repair.
    let lines = log.lines().filter(|line| line.contains(" WARN "));
    let lines = u32::try_from(lines.count()).unwrap();
    assert!(
        f64::from(lines) < 4.0 * repaired + 8.0,
        "{lines} lines for {flushes} flushes\n{log}"
    );
    // What is done while rules are read and written is not heard one by one.
    let counted = ["rules_deleted", "overrun"].map(|damage| repairs(&agent, damage));
    assert!(counted[0] >= 1.0, "{log}");
    assert!(counted[0] + counted[1] >= 2.0, "{counted:?}\n{log}");
}

/// One after the other, faster than repairs follow in a storm: none of them goes unnamed.
#[test]
fn each_damage_of_a_series_is_named_and_counted() {
    let bed = Testbed::with_pods(1);
    let directory = directory(&bed);
    let mut agent = Agent::start(&bed, &directory, &ON_ITS_OWN);
    let rules = bed.node.namespace.rules();
    let series = Mode::expects(
        [
            (
                "flush chain ip nat KUBE-SERVICES",
                "chain KUBE-SERVICES of table ip nat",
            ),
            (
                "insert rule ip nat KUBE-NODEPORTS accept",
                "chain KUBE-NODEPORTS of table ip nat",
            ),
            (
                "flush chain ip nat KUBE-MARK-MASQ",
                "chain KUBE-MARK-MASQ of table ip nat",
            ),
            (
                "flush chain ip nat KUBE-POSTROUTING",
                "chain KUBE-POSTROUTING of table ip nat",
            ),
        ],
        [
            (
                "flush chain ip portolan services",
                "chain services of table ip portolan",
            ),
            (
                "add element ip portolan cluster-ips { 10.233.1.1 }",
                "set cluster-ips of table",
            ),
            (
                "flush set ip portolan cluster-services",
                "set cluster-services of table",
            ),
            ("delete table ip portolan", "table ip portolan deleted"),
        ],
    );
    let series = [series, series].concat();
    for (script, _) in &series {
        // What is to be damaged has to be there.
        agent.eventually(script, |_| bed.node.namespace.rules() == rules);
        nft(&bed, script);
        thread::sleep(Duration::from_millis(30));
    }
    agent.eventually("all is back", |_| bed.node.namespace.rules() == rules);
    let log = agent.log();
    for (_, words) in &series {
        assert_eq!(log.matches(words).count(), 2, "{words}\n{log}");
    }
}

/// More notifications than fit while the agent does not look.
#[test]
fn what_is_not_heard_is_read() {
    let bed = Testbed::with_pods(1);
    let directory = directory(&bed);
    let mut agent = Agent::start(&bed, &directory, &ON_ITS_OWN);
    let rules = bed.node.namespace.rules();
    agent.signal(Signal::SIGSTOP);
    nft(&bed, "table ip theirs { set s { type mark; }; }");
    let mut elements = String::new();
    let long = "x".repeat(120);
    for mark in 0..1000 {
        write!(elements, "{mark} comment \"{long}\", ").unwrap();
    }
    // Each line is a transaction of its own.
    let round = format!("add element ip theirs s {{ {elements} }}\nflush set ip theirs s\n");
    let mut child = bed.node.namespace.enter(|| {
        let mut command = Command::new("nft");
        command.arg("-i").stdin(Stdio::piped());
        command.stdout(Stdio::null()).spawn().unwrap()
    });
    let mut stdin = child.stdin.take().unwrap();
    for _ in 0..150 {
        std::io::Write::write_all(&mut stdin, round.as_bytes()).unwrap();
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
    nft(&bed, flush());
    agent.signal(Signal::SIGCONT);
    agent.eventually("it is repaired", |_| bed.node.namespace.rules() == rules);
    agent.eventually("it is told", |agent| repairs(agent, "overrun") == 1.0);
    let log = agent.log();
    assert!(log.contains("more changes of nf_tables than"), "{log}");
}

//! `kill -9` at any moment while everything changes.

use std::thread;
use std::time::Duration;

use crate::api_server::eventually;
use crate::cluster::Cluster;
use crate::stop::Stop;
use crate::support::{Outcome, Service};

const STEADY: &str = "10.233.10.90:80";

/// How often: 200 times take minutes.
const KILLS: &str = "PORTOLAN_TEST_KILLS";

fn steady() -> Service {
    Service::new("steady", "10.233.10.90")
}

fn changing(n: usize) -> Service {
    Service::new(&format!("changing-{n}"), &format!("10.233.11.{}", n + 1))
}

/// What the cluster has in a round: another half of the changing Services, other endpoints.
fn round(cluster: &Cluster, number: usize) -> Vec<Service> {
    let pods = &cluster.bed.pods;
    let mut all = vec![steady().to(&pods[..2])];
    all.extend(
        (0..40)
            .filter(|n| !(n + number).is_multiple_of(3))
            .map(|n| {
                let pod = (n + number) % 3;
                changing(n).to(&pods[pod..=pod])
            }),
    );
    all
}

#[test]
fn killed_at_any_moment_it_converges_and_connections_to_unchanged_services_live() {
    let kills = std::env::var(KILLS).ok();
    let kills: usize = kills.map_or(8, |text| text.parse().expect("a number"));
    let cluster = Cluster::with_pods(4);
    let bed = &cluster.bed;
    cluster.has(&round(&cluster, 0));
    cluster.agent(&[]).kill();
    let mut talk = bed.pod(4).dial(STEADY).converse();
    let partner = talk.say("first").expect("an answer");
    let done = Stop::default();
    thread::scope(|scope| {
        let end = done.at_end();
        let client = scope.spawn(|| bed.pod(4).dial(STEADY).until(|| done.is_set()));
        let churn = scope.spawn(|| {
            let mut number = 0;
            while !done.is_set() {
                number += 1;
                cluster.has(&round(&cluster, number));
                thread::sleep(Duration::from_millis(20));
            }
        });
        for kill in 0..kills {
            let agent = cluster.launch(&[]);
            // From before it has read anything to long after the first load.
            let pause = (kill * 37 + 11) % 400;
            thread::sleep(Duration::from_millis(pause as u64));
            agent.kill();
            assert_eq!(talk.say("still there").expect("an answer"), partner);
        }
        drop(end);
        churn.join().expect("churn");
        let tally = client.join().expect("client");
        eprintln!("{tally}");
        tally.assert_only(&["pod-1", "pod-2"]);
    });
    // What the last one left is not what should be; the next one makes it so.
    cluster.has(&round(&cluster, 1));
    let _agent = cluster.agent(&[]);
    assert_eq!(talk.say("at the end").expect("an answer"), partner);
    for n in 0..40 {
        let address = format!("10.233.11.{}:80", n + 1);
        let there = (n + 1) % 3 != 0;
        let dial = bed.pod(4).dial(&address).impatiently();
        let name = format!("pod-{}", (n + 1) % 3 + 1);
        eventually(&format!("{address} is right"), || match dial.once() {
            Outcome::Answered(answer) if there => answer.server == name,
            Outcome::Answered(answer) => !answer.server.starts_with("pod-"),
            _ => !there,
        });
    }
}

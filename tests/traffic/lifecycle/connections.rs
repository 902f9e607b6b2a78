//! What clients notice of a change: nothing.

use std::thread;

use super::Stop;
use crate::support::{Service, Testbed};

const VIP: &str = "10.233.10.90:80";

fn web() -> Service {
    Service::new("web", "10.233.10.90").node_port(30090)
}

#[test]
fn an_open_connection_survives_changes_around_it() {
    let bed = Testbed::with_pods(4);
    bed.apply(&[web().to(&bed.pods[..2])]);
    let from_pod = bed.pod(4).dial(VIP).converse();
    let from_outside = bed.outside.dial(&bed.node.at(30090)).converse();
    let mut talks = [from_pod, from_outside].map(|mut talk| (talk.say("first").unwrap(), talk));
    let mut still_there = |when: &str| {
        for (server, talk) in &mut talks {
            assert_eq!(&talk.say(when).unwrap(), server, "{when}");
        }
    };

    let other = Service::new("other", "10.233.10.91").to(&bed.pods);
    bed.apply(&[web().to(&bed.pods[..2]), other.clone()]);
    still_there("after another service came");
    bed.apply(&[web().to(&bed.pods[..3])]);
    still_there("after another service went and an endpoint came");
    bed.apply(&[web().to(&bed.pods[2..3])]);
    still_there("after its own endpoint went");
    bed.apply(&[other]);
    still_there("after its service went");
}

#[test]
fn no_new_connection_is_lost_while_endpoints_come_and_go() {
    let bed = Testbed::with_pods(5);
    bed.apply(&[web().to(&bed.pods[..4])]);
    let done = Stop::default();
    let finished = || done.is_set();
    let node_port = bed.node.at(30090);
    thread::scope(|scope| {
        let end = done.at_end();
        let clients = [
            scope.spawn(|| bed.pod(5).dial(VIP).until(finished)),
            scope.spawn(|| bed.node.dial(VIP).until(finished)),
            scope.spawn(|| bed.outside.dial(&node_port).until(finished)),
        ];
        for round in 0..30 {
            // 1 to 4 of them; pod-1 stays.
            bed.apply(&[web().to(&bed.pods[..1 + round % 4])]);
        }
        drop(end);
        for client in clients {
            let tally = client.join().unwrap();
            eprintln!("{tally}");
            tally.assert_all_answered();
            assert!(tally.answers.len() > 30, "{tally}");
            assert!(tally.by_server().len() > 1, "{tally}");
        }
    });
}

#[test]
fn a_service_is_not_interrupted_by_others_coming_and_going() {
    let bed = Testbed::with_pods(3);
    let others: Vec<_> = (1..100)
        .map(|n| Service::new(&format!("other-{n}"), &format!("10.233.11.{n}")).to(&bed.pods[..2]))
        .collect();
    let mut all = vec![web().to(&bed.pods[..2])];
    bed.apply(&all);
    all.extend(others);
    let done = Stop::default();
    let finished = || done.is_set();
    thread::scope(|scope| {
        let end = done.at_end();
        let client = scope.spawn(|| bed.pod(3).dial(VIP).until(finished));
        for _ in 0..5 {
            bed.apply(&all);
            bed.apply(&all[..1]);
        }
        drop(end);
        client.join().unwrap().assert_only(&["pod-1", "pod-2"]);
    });
}

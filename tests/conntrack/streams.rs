//! TCP and SCTP: connections that know by themselves whether the other side is there.

use std::thread;
use std::time::{Duration, Instant};

use crate::client::{By, eventually, flows};
use crate::support::skip::{Lack, skip};
use crate::support::{Protocol, Service, Testbed};

const VIP: &str = "10.233.10.70";
const TARGET: &str = "10.233.10.70:80";
/// A pod address that nobody has.
const DEAD: &str = "10.233.66.99";

#[test]
fn a_connection_to_an_endpoint_that_went_goes_on_until_one_side_ends_it() {
    for by in By::ALL {
        let bed = Testbed::with_pods(3);
        let web = |pods| Service::new("web", VIP).to(pods);
        by.program(&bed, &[web(&bed.pods[..1])]);
        let mut talk = bed.pod(3).dial(TARGET).converse();
        assert_eq!(talk.say("before").unwrap(), "pod-1");
        by.program(&bed, &[web(&bed.pods[1..2])]);
        bed.pod(3).dial(TARGET).times(5).assert_only(&["pod-2"]);
        thread::sleep(Duration::from_millis(300));
        assert_eq!(talk.say("after").unwrap(), "pod-1", "{by:?}");
    }
}

#[test]
fn a_connection_that_knocks_at_a_dead_endpoint_is_let_in_by_a_live_one() {
    for by in By::ALL {
        let bed = Testbed::with_pods(3);
        let web = Service::new("web", VIP);
        let dead = web.clone().to_addresses("n1", vec![DEAD.to_owned()], 8080);
        by.program(&bed, &[dead]);
        thread::scope(|scope| {
            let started = Instant::now();
            let call = scope.spawn(|| bed.pod(3).dial(TARGET).once());
            let knocking = || flows(&bed, &["-p", "tcp", "--orig-dst", VIP]);
            eventually("it knocks", || {
                knocking().iter().any(|flow| flow.contains("UNREPLIED"))
            });
            by.program(&bed, &[web.to(&bed.pods[..1])]);
            // TCP knocks again after 1, 3 and 7 seconds: the client notices nothing but the wait.
            let answer = call.join().unwrap().answer();
            assert_eq!(
                answer.server,
                "pod-1",
                "{by:?} after {:?}",
                started.elapsed()
            );
        });
    }
}

/// An association, made by the tool: not every kernel that tracks SCTP also speaks it.
fn associate(bed: &Testbed) -> bool {
    let (client, endpoint) = (&bed.pod(3).v4, &bed.pod(1).v4);
    let tuple = format!(
        "-I -p sctp -s {client} -d {VIP} -r {endpoint} -q {client} --orig-port-src 99 \
         --orig-port-dst 80 --reply-port-src 8080 --reply-port-dst 99 --state ESTABLISHED \
         --orig-vtag 1 --reply-vtag 2 -u SEEN_REPLY,ASSURED -t 600"
    );
    let args: Vec<_> = tuple.split_whitespace().collect();
    let output = bed.node.namespace.output("conntrack", &args);
    output.status.success()
}

#[test]
fn an_sctp_association_leaves_an_endpoint_that_went_and_keeps_one_that_stays() {
    for by in By::ALL {
        let bed = Testbed::with_pods(3);
        let signal = |pods| Service::new("signal", VIP).over(Protocol::Sctp).to(pods);
        by.program(&bed, &[signal(&bed.pods[..2])]);
        if !associate(&bed) {
            return skip(Lack::Kernel, "this kernel does not track SCTP");
        }
        let table = || flows(&bed, &["-p", "sctp", "--orig-dst", VIP]);
        by.program(&bed, &[signal(&bed.pods[..1])]);
        thread::sleep(Duration::from_millis(300));
        assert_eq!(table().len(), 1, "{by:?}");
        by.program(&bed, &[signal(&bed.pods[1..2])]);
        eventually("the association is gone", || table().is_empty());
    }
}

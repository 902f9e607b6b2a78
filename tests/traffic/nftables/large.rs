//! More endpoints than one comfortable list.

use std::thread;

use crate::lifecycle::Stop;
use crate::spread::{Crowd, Side};
use crate::support::{Service, Testbed};

const VIP: &str = "10.233.10.97:80";

fn service(crowd: &Crowd, endpoints: u16) -> Service {
    crowd.behind(Service::new("large", "10.233.10.97"), endpoints)
}

#[test]
fn four_thousand_and_ninety_seven_endpoints_are_all_used() {
    let bed = Testbed::with_pods(2);
    let crowd = Crowd::new(&bed, Side::Here);
    let services = [service(&crowd, 4097)];
    bed.apply(&services);
    bed.verb("verify", &services, &[]).exits(0);
    let tally = bed.pod(2).dial(VIP).times(2000);
    tally.assert_all_answered();
    // 2000 draws of 4097 are 1582 different ones on average, give or take 16.
    let different = tally.by_server().len();
    assert!((1480..1690).contains(&different), "{different}");

    // From there to a list of every other kind, and back.
    for endpoints in [4096, 65, 16, 1, 17, 4097] {
        bed.apply(&[service(&crowd, endpoints)]);
        bed.verb("verify", &[service(&crowd, endpoints)], &[])
            .exits(0);
        let tally = bed.pod(2).dial(VIP).times(50);
        tally.assert_all_answered();
        assert!(tally.by_server().len() <= usize::from(endpoints), "{tally}");
    }
}

/// A list that becomes long, or short, moves to other slots as a whole.
#[test]
fn no_connection_is_lost_while_a_list_moves() {
    let bed = Testbed::with_pods(2);
    let crowd = Crowd::new(&bed, Side::Here);
    bed.apply(&[service(&crowd, 16)]);
    let done = Stop::default();
    let finished = || done.is_set();
    thread::scope(|scope| {
        let end = done.at_end();
        let clients = [
            scope.spawn(|| bed.pod(2).dial(VIP).until(finished)),
            scope.spawn(|| bed.node.dial(VIP).until(finished)),
        ];
        for endpoints in [17, 16, 8, 9, 65, 4, 129, 128, 1, 2, 1].repeat(3) {
            bed.apply(&[service(&crowd, endpoints)]);
        }
        drop(end);
        for client in clients {
            let tally = client.join().unwrap();
            tally.assert_all_answered();
            assert!(tally.answers.len() > 100, "{}", tally.answers.len());
            let expected = |server: &str| server.starts_with("10.233.96.");
            assert!(tally.by_server().into_keys().all(expected), "{tally}");
        }
    });
}

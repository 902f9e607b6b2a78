//! More endpoints than one comfortable list.

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

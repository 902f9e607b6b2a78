//! Two services that claim the same front end: the API allows it of external IPs.

use serde_json::json;

use crate::support::{Service, Testbed};

const CLAIMED: &str = "203.0.113.60:80";

fn claiming(bed: &Testbed, name: &str, number: usize) -> Service {
    Service::new(name, &format!("10.233.10.6{number}"))
        .field("externalIPs", json!(["203.0.113.60"]))
        .to(&bed.pods[number - 1..number])
}

#[test]
fn the_first_by_name_has_it_and_a_warning_names_the_other() {
    let bed = Testbed::with_pods(3);
    let both = [claiming(&bed, "zebra", 1), claiming(&bed, "ant", 2)];
    let run = bed.apply(&both);
    assert!(
        run.stderr.contains(
            "203.0.113.60:80/TCP is claimed twice: default/ant:p0 has it, default/zebra:p0 goes without"
        ),
        "{}",
        run.stderr
    );
    bed.outside.dial(CLAIMED).times(20).assert_only(&["pod-2"]);
    // Each has what nobody else claims.
    bed.pod(3)
        .dial("10.233.10.61:80")
        .times(5)
        .assert_only(&["pod-1"]);
    bed.pod(3)
        .dial("10.233.10.62:80")
        .times(5)
        .assert_only(&["pod-2"]);
    bed.verb("verify", &both, &[]).exits(0);

    // The one that comes later takes over what the first leaves.
    let run = bed.apply(&both[..1]);
    assert!(!run.stderr.contains("claimed twice"), "{}", run.stderr);
    bed.outside.dial(CLAIMED).times(20).assert_only(&["pod-1"]);
    bed.apply(&both);
    bed.outside.dial(CLAIMED).times(20).assert_only(&["pod-2"]);
}

#[test]
fn a_cluster_ip_is_never_lost_to_an_external_ip() {
    let bed = Testbed::with_pods(3);
    let thief = Service::new("a-thief", "10.233.10.61")
        .field("externalIPs", json!(["10.233.10.62"]))
        .to(&bed.pods[..1]);
    let owner = Service::new("owner", "10.233.10.62").to(&bed.pods[1..2]);
    let run = bed.apply(&[thief, owner]);
    assert!(
        run.stderr.contains("default/owner:p0 has it"),
        "{}",
        run.stderr
    );
    for client in [bed.pod(3), &bed.outside] {
        client
            .dial("10.233.10.62:80")
            .times(20)
            .assert_only(&["pod-2"]);
    }
}

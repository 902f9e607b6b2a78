//! What is refused or dropped is counted by reason.

use serde_json::json;

use crate::support::{Service, Testbed};

/// Packets that the rules with this comment have counted.
fn counted(bed: &Testbed, reason: &str) -> u64 {
    let table = bed.listed("ip");
    let comment = format!("comment \"{reason}\"");
    let rules = table.lines().filter(|line| line.contains(&comment));
    let counts = rules.map(|rule| {
        let (_, packets) = rule.split_once("counter packets ").expect("a counter");
        packets
            .split(' ')
            .next()
            .and_then(|n| n.parse::<u64>().ok())
            .expect("a number")
    });
    counts.sum()
}

#[test]
fn each_reason_of_a_refusal_has_its_count() {
    let bed = Testbed::with_pods_and_far_pods(1, 1);
    let web = Service::new("web", "10.233.10.10")
        .load_balancer("203.0.113.10")
        .field("loadBalancerSourceRanges", json!(["192.168.10.2/32"]));
    let far = Service::new("far", "10.233.10.12")
        .node_port(30080)
        .field("externalTrafficPolicy", json!("Local"));
    let services = [
        web.to(&bed.pods),
        Service::new("empty", "10.233.10.11").node_port(30081),
        far.to(&bed.far_pods),
    ];
    bed.apply(&services);
    let (pod, outside) = (bed.pod(1), &bed.outside);
    let refusals = [
        ("no endpoints", pod.dial("10.233.10.11:80")),
        ("no endpoints", outside.dial("192.168.10.100:30081")),
        ("no local endpoints", outside.dial("192.168.10.100:30080")),
        ("no such port", pod.dial("10.233.10.10:81")),
        ("no such service", pod.dial("10.233.10.99:80")),
        (
            "not from an allowed source",
            outside.dial("203.0.113.10:80"),
        ),
    ];
    for (reason, dial) in refusals {
        let before = counted(&bed, reason);
        dial.impatiently().once();
        assert!(
            counted(&bed, reason) > before,
            "{reason}: {}",
            bed.listed("ip")
        );
    }
    let counts = ["no endpoints", "no such port"].map(|reason| counted(&bed, reason));
    pod.dial("10.233.10.10:80").answer();
    assert_eq!(
        counts,
        ["no endpoints", "no such port"].map(|reason| counted(&bed, reason))
    );
    // What was counted is no difference.
    bed.verb("verify", &services, &[]).exits(0);
}

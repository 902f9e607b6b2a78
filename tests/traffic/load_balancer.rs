//! Load balancer addresses: who gets in, who does not, and what is left alone.

use serde_json::json;

use crate::support::program::is_userspace_tested;
use crate::support::{Host, Outcome, Service, Testbed};

const VIP: &str = "203.0.113.10:80";

fn service<'a>(pods: impl IntoIterator<Item = &'a Host>) -> Service {
    Service::new("web", "10.233.10.100")
        .load_balancer("203.0.113.10")
        .node_port(32000)
        .to(pods)
}

fn restricted(bed: &Testbed, ranges: &[&str]) -> Service {
    service(&bed.pods[..1]).field("loadBalancerSourceRanges", json!(ranges))
}

fn dropped(client: &Host) -> bool {
    client.dial(VIP).impatiently().once() == Outcome::TimedOut
}

#[test]
fn an_outside_client_reaches_every_endpoint_evenly() {
    let bed = Testbed::with_pods_and_far_pods(2, 1);
    bed.apply(&[service(bed.all_pods())]);
    let tally = bed.outside.dial(VIP).times(300);
    tally.assert_even_over(&["far-1", "pod-1", "pod-2"]);
    assert!(
        tally
            .answers
            .iter()
            .all(crate::support::Answer::is_masqueraded),
        "{tally}"
    );
}

#[test]
fn the_node_and_pods_reach_it_without_leaving_the_node() {
    let bed = Testbed::with_pods(3);
    bed.apply(&[service(&bed.pods[..2])]);
    for client in [&bed.node, bed.pod(3)] {
        client.dial(VIP).times(40).assert_only(&["pod-1", "pod-2"]);
    }
}

#[test]
fn source_ranges_let_in_whom_they_name_and_drop_the_others() {
    let bed = Testbed::with_pods(2);
    bed.apply(&[restricted(&bed, &["192.168.10.1/32", "198.51.100.0/24"])]);
    bed.outside
        .dial(VIP)
        .from("192.168.10.1")
        .times(20)
        .assert_only(&["pod-1"]);
    let other = bed.outside.dial(VIP).from("192.168.10.2").impatiently();
    assert_eq!(other.once(), Outcome::TimedOut);
    assert!(dropped(bed.pod(2)));
    assert!(dropped(&bed.node));
}

#[test]
fn source_ranges_with_the_node_in_them_let_the_node_in() {
    let bed = Testbed::with_pods(2);
    bed.apply(&[restricted(&bed, &["192.168.10.100/30"])]);
    bed.node.dial(VIP).answer();
    assert!(dropped(&bed.outside));
    // Also where the address is on the node, so that the node's packets come from it.
    bed.node
        .namespace
        .run("ip", &["address", "add", "203.0.113.10/32", "dev", "eth0"]);
    bed.node.dial(VIP).from("203.0.113.10").answer();
}

#[test]
fn a_range_of_everybody_is_no_restriction() {
    let bed = Testbed::with_pods(2);
    bed.apply(&[restricted(&bed, &["192.168.10.1/32", "0.0.0.0/0"])]);
    bed.outside.dial(VIP).from("192.168.10.2").answer();
    bed.pod(2).dial(VIP).answer();
}

/// One range within another, and the same twice, are what several of them add up to.
#[test]
fn source_ranges_may_overlap() {
    let bed = Testbed::with_pods(2);
    let from = |source: &str| {
        let outcome = bed.outside.dial(VIP).from(source).impatiently().once();
        matches!(outcome, Outcome::Answered(_))
    };
    for (ranges, first, second, pod) in [
        (
            &["192.168.10.0/24", "192.168.10.1/32"][..],
            true,
            true,
            false,
        ),
        (&["192.168.10.1/32", "192.168.10.1/32"], true, false, false),
        (
            &["192.168.0.0/16", "192.168.10.2/31", "10.233.64.0/18"],
            true,
            true,
            true,
        ),
        (
            &["192.168.10.2/31", "10.0.0.0/8", "10.233.65.0/24"],
            false,
            true,
            true,
        ),
        (&["10.233.65.1/32"], false, false, false),
        (
            &["192.168.10.1/32", "0.0.0.0/0", "10.0.0.0/8"],
            true,
            true,
            true,
        ),
    ] {
        bed.apply(&[restricted(&bed, ranges)]);
        if !is_userspace_tested() {
            bed.verb("verify", &[restricted(&bed, ranges)], &[])
                .exits(0);
        }
        assert_eq!(from("192.168.10.1"), first, "192.168.10.1 of {ranges:?}");
        assert_eq!(from("192.168.10.2"), second, "192.168.10.2 of {ranges:?}");
        assert_eq!(!dropped(bed.pod(2)), pod, "pod-2 of {ranges:?}");
    }
}

#[test]
fn source_ranges_are_not_about_other_ways_in() {
    let bed = Testbed::with_pods(2);
    bed.apply(&[restricted(&bed, &["198.51.100.0/24"])]);
    assert!(dropped(&bed.outside));
    bed.outside.dial(&bed.node.at(32000)).answer();
    bed.outside.dial("10.233.10.100:80").answer();
    bed.pod(2).dial("10.233.10.100:80").answer();
}

#[test]
fn an_address_in_proxy_mode_is_left_alone() {
    let bed = Testbed::with_pods(2);
    let ingress = json!({"ip": "203.0.113.10", "ipMode": "Proxy"});
    bed.apply(&[service(&bed.pods[..1]).load_balancer_with(ingress)]);
    for client in [bed.pod(2), &bed.node, &bed.outside] {
        assert_eq!(client.dial(VIP).answer().server, "uplink");
    }
    bed.outside
        .dial(&bed.node.at(32000))
        .times(5)
        .assert_only(&["pod-1"]);
}

#[test]
fn a_load_balancer_without_an_address_yet_has_its_node_port() {
    let bed = Testbed::with_pods(2);
    let web = Service::new("web", "10.233.10.100").field("type", json!("LoadBalancer"));
    bed.apply(&[web.node_port(32000).to(&bed.pods)]);
    bed.outside
        .dial(&bed.node.at(32000))
        .times(40)
        .assert_only(&["pod-1", "pod-2"]);
}

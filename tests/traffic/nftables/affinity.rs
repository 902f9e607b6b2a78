//! The memory of session affinity: one map, filled by packets, and what makes it forget.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Host, Protocol, Service, Testbed};

const VIP: &str = "10.233.10.30:80";
const DAY: u32 = 86_400;
/// TCP sends its first packet again after a second.
const RETRANSMITTED: std::ops::Range<Duration> =
    Duration::from_millis(900)..Duration::from_millis(2500);

fn sticky<'a>(pods: impl IntoIterator<Item = &'a Host>) -> Service {
    let web = Service::new("web", "10.233.10.30").node_port(30030);
    web.sticky(DAY).to(pods)
}

/// What the map holds of a client.
fn remembered(bed: &Testbed, client: &Host) -> Vec<String> {
    let list = ["list", "map", "ip", "portolan", "affinity"];
    let map = bed.node.namespace.run("nft", &list);
    let entries = map.split(['{', ',', '}']).map(str::trim);
    let of_client = format!(" . {} . ", client.v4);
    let of_client = entries.filter(|entry| entry.contains(&of_client));
    of_client.map(str::to_owned).collect()
}

fn pod_named<'a>(bed: &'a Testbed, name: &str) -> &'a Host {
    bed.all_pods().find(|pod| pod.name == name).unwrap()
}

#[test]
fn a_client_and_its_endpoint_are_remembered_for_each_way_in() {
    let bed = Testbed::with_pods(3);
    bed.apply(&[sticky(&bed.pods[..2])]);
    let node_port = bed.node.at(30030);
    for target in [VIP, &node_port] {
        let server = bed.pod(3).dial(target).answer().server;
        let endpoint = format!(": {} . 8080", pod_named(&bed, &server).v4);
        let entries = remembered(&bed, bed.pod(3));
        assert!(
            entries.iter().any(|entry| entry.ends_with(&endpoint)),
            "{entries:?}"
        );
    }
    assert_eq!(remembered(&bed, bed.pod(3)).len(), 2);
    // Whoever was refused, or came directly, is no client.
    bed.pod(1).dial(&bed.pod(2).at(8080)).answer();
    assert_eq!(remembered(&bed, bed.pod(1)), Vec::<String>::new());
}

#[test]
fn an_endpoint_that_goes_takes_its_clients_with_it() {
    let bed = Testbed::with_pods(4);
    bed.apply(&[sticky(&bed.pods[..3])]);
    let node_port = bed.node.at(30030);
    for target in [VIP, &node_port] {
        bed.apply(&[sticky(&bed.pods[..3])]);
        let dial = bed.pod(4).dial(target);
        let first = dial.answer().server;
        let mut talk = dial.converse();
        assert_eq!(talk.say("before").unwrap(), first);
        let rest: Vec<_> = bed.pods[..3].iter().filter(|p| p.name != first).collect();
        bed.apply(&[sticky(rest.iter().copied())]);

        let started = Instant::now();
        let second = dial.answer().server;
        let waited = started.elapsed();
        assert_ne!(second, first, "{target}");
        assert!(waited < RETRANSMITTED.start, "{target}: {waited:?}");
        dial.times(20).assert_only(&[&second]);
        let gone = format!(": {} . 8080", pod_named(&bed, &first).v4);
        let entries = remembered(&bed, bed.pod(4));
        let same_way = |entry: &&String| entry.starts_with("10.233.10.30") == (target == VIP);
        let stale = entries.iter().filter(same_way);
        assert_eq!(
            stale.filter(|entry| entry.ends_with(&gone)).count(),
            0,
            "{entries:?}"
        );
        // Who is in the middle of something is not disturbed.
        assert_eq!(talk.say("after").unwrap(), first);
    }
}

/// With more clients than can be looked through, and after a portolan that was killed, entries stay
/// behind. The table itself drops the first packet that one of them leads astray, and forgets it.
#[test]
fn an_entry_that_stayed_behind_costs_its_client_one_packet() {
    let bed = Testbed::with_pods(3);
    bed.apply(&[sticky(&bed.pods[..1])]);
    let stale = &bed.pod(2).v4;
    for (way, target) in [("10.233.10.30", VIP), ("0.0.0.0", &bed.node.at(30030))] {
        let port = target.rsplit(':').next().unwrap();
        let client = format!("{way} . {} . tcp . {port}", bed.pod(3).v4);
        bed.nft(&format!(
            "add element ip portolan affinity {{ {client} timeout 1h : {stale} . 8080 }}"
        ));
        let dial = bed.pod(3).dial(target);
        let started = Instant::now();
        assert_eq!(dial.answer().server, "pod-1", "{target}");
        let waited = started.elapsed();
        assert!(RETRANSMITTED.contains(&waited), "{target}: {waited:?}");
        let started = Instant::now();
        dial.times(10).assert_only(&["pod-1"]);
        assert!(started.elapsed() < RETRANSMITTED.start, "{target}");
    }
}

#[test]
fn datagrams_find_another_endpoint() {
    let bed = Testbed::with_pods(3);
    let web = |pods: &[&Host]| {
        let dns = Service::new("dns", "10.233.10.30").over(Protocol::Udp);
        dns.sticky(DAY).to(pods.iter().copied())
    };
    bed.apply(&[web(&[bed.pod(1), bed.pod(2)])]);
    let dial = bed.pod(3).dial(VIP).over(Protocol::Udp);
    let first = dial.answer().server;
    dial.times(10).assert_only(&[&first]);
    let other = if first == "pod-1" {
        bed.pod(2)
    } else {
        bed.pod(1)
    };
    bed.apply(&[web(&[other])]);
    dial.times(10).assert_only(&[&other.name]);
}

/// An endpoint elsewhere was a good one while the policy was Cluster.
#[test]
fn a_policy_that_becomes_local_is_kept_for_remembered_clients_too() {
    let bed = Testbed::with_pods_and_far_pods(1, 1);
    let web = |policy: &str| sticky(bed.all_pods()).field("externalTrafficPolicy", json!(policy));
    let node_port = bed.node.at(30030);
    let dial = bed.outside.dial(&node_port);
    // Until the client has the far one: the choice is one of two.
    for _ in 0..40 {
        bed.apply(&[web("Cluster")]);
        if dial.answer().server == "far-1" {
            break;
        }
        bed.nft("flush map ip portolan affinity");
    }
    assert_eq!(dial.answer().server, "far-1");
    bed.apply(&[web("Local")]);
    let answer = dial.answer();
    assert_eq!(answer.server, "pod-1");
    assert!(!answer.is_masqueraded(), "{answer:?}");
    dial.times(10).assert_only(&["pod-1"]);
}

#[test]
fn without_affinity_nothing_is_remembered_any_more() {
    let bed = Testbed::with_pods(3);
    bed.apply(&[sticky(&bed.pods[..2])]);
    let first = bed.pod(3).dial(VIP).answer().server;
    bed.pod(3).dial(VIP).times(10).assert_only(&[&first]);
    bed.apply(&[Service::new("web", "10.233.10.30").to(&bed.pods[..2])]);
    bed.pod(3)
        .dial(VIP)
        .times(200)
        .assert_even_over(&["pod-1", "pod-2"]);
    // Another timeout is another set; clients stay where they are.
    bed.apply(&[sticky(&bed.pods[..2])]);
    let first = bed.pod(3).dial(VIP).answer().server;
    let longer = Service::new("web", "10.233.10.30").sticky(7200);
    bed.apply(&[longer.to(&bed.pods[..2])]);
    bed.pod(3).dial(VIP).times(20).assert_only(&[&first]);
}

//! What clients see while the API server fails, and how soon all is right after its return.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::agent::Agent;
use crate::api_server::{Kind, Wire, eventually};
use crate::cluster::{Cluster, objects};
use crate::support::{Outcome, Service};

const VIP: &str = "10.233.10.90:80";

fn web() -> Service {
    Service::new("web", "10.233.10.90")
}

fn other(n: u8) -> Service {
    Service::new(&format!("other-{n}"), &format!("10.233.11.{n}"))
}

/// An address that is no Service's any more may lead out of the node, but to no pod.
fn reaches_a_pod(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Answered(answer) if answer.server.starts_with("pod-"))
}

/// So many lists were begun for this reason.
fn lists(agent: &Agent<'_>, resource: &str, reason: &str) -> f64 {
    let labels = format!("{{reason=\"{reason}\",resource=\"{resource}\"}}");
    agent
        .metric(&format!("portolan_source_lists_total{labels}"))
        .unwrap_or_default()
}

#[test]
fn rules_stay_while_the_server_is_down_and_are_right_within_a_second_of_its_return() {
    let cluster = Cluster::with_pods(3);
    let bed = &cluster.bed;
    cluster.has(&[web().to(&bed.pods[..1]), other(1).to(&bed.pods[..1])]);
    let agent = cluster.agent(&[]);
    let dial = bed.pod(3).dial(VIP);
    cluster.server.stop();
    // Long enough for waits between tries to have grown.
    let outage = std::env::var("PORTOLAN_TEST_OUTAGE").ok();
    let outage = outage.map_or(6, |text| text.parse().expect("seconds"));
    let end = Instant::now() + Duration::from_secs(outage);
    while Instant::now() < end {
        dial.times(5).assert_only(&["pod-1"]);
        thread::sleep(Duration::from_millis(100));
    }
    cluster.has(&[web().to(&bed.pods[1..2]), other(2).to(&bed.pods[..1])]);
    cluster.server.compact();
    cluster.server.start_again();
    let back = Instant::now();
    eventually("it converges", || dial.answer().server == "pod-2");
    let took = back.elapsed();
    let gone = bed.pod(3).dial("10.233.11.1:80").impatiently();
    eventually("what was deleted is gone", || !reaches_a_pod(&gone.once()));
    eprintln!("right {took:?} after the return");
    assert!(took < Duration::from_secs(3), "{took:?}\n{}", agent.log());
    let log = agent.stop();
    assert!(log.contains("can be reached again"), "{log}");
}

#[test]
fn issue_28674_76338_endpoints_that_went_while_nobody_watched_are_not_kept() {
    let cluster = Cluster::with_pods(3);
    let bed = &cluster.bed;
    for (http, streams) in [(false, true), (true, true), (false, false)] {
        cluster.server.rules(|rules| {
            rules.gone_as_http = http;
            rules.streams_lists = streams;
        });
        cluster.has(&[web().to(&bed.pods[..2]), other(1).to(&bed.pods[..2])]);
        let agent = cluster.agent(&[]);
        let dial = bed.pod(3).dial(VIP);
        dial.times(20).assert_only(&["pod-1", "pod-2"]);
        cluster.server.stop();
        cluster.has(&[web().to(&bed.pods[1..2])]);
        cluster.server.compact();
        cluster.server.start_again();
        eventually("the slices were listed again", || {
            lists(&agent, "endpointslices", "expired") > 0.0
        });
        eventually("the list is complete", || {
            dial.times(12).by_server().keys().eq(&["pod-2"])
        });
        dial.times(30).assert_only(&["pod-2"]);
        let gone = bed.pod(3).dial("10.233.11.1:80").impatiently().once();
        assert!(!reaches_a_pod(&gone), "{gone:?}");
        agent.stop();
    }
}

#[test]
fn connections_that_are_cut_are_made_again_from_where_they_were() {
    let cluster = Cluster::with_pods(2);
    let bed = &cluster.bed;
    cluster.has(&[web().to(&bed.pods[..1])]);
    let agent = cluster.agent(&[]);
    let dial = bed.pod(2).dial(VIP);
    for round in 0..5 {
        let pod = 1 - round % 2;
        cluster.server.wire(Wire::Cut);
        cluster.has(&[web().to(&bed.pods[pod..=pod])]);
        cluster.server.wire(Wire::Pass);
        let name = format!("pod-{}", pod + 1);
        eventually("the change arrives", || dial.answer().server == name);
    }
    assert!(lists(&agent, "services", "start") >= 1.0);
    assert!(
        lists(&agent, "endpointslices", "expired") < 1.0,
        "no need to list again"
    );
}

#[test]
fn a_connection_that_is_dead_without_either_end_knowing_is_noticed() {
    let cluster = Cluster::with_pods(2);
    let bed = &cluster.bed;
    cluster.has(&[web().to(&bed.pods[..1])]);
    let mut agent = cluster.agent(&["--watch-silence", "3s"]);
    let dial = bed.pod(2).dial(VIP);
    cluster.server.wire(Wire::HalfOpen);
    cluster.has(&[web().to(&bed.pods[1..])]);
    eventually("the change arrives after all", || {
        dial.answer().server == "pod-2"
    });
    agent.eventually("it is counted", |agent| {
        let silent = "{reason=\"silent\",resource=\"endpointslices\"}";
        agent.metric(&format!("portolan_source_failures_total{silent}")) > Some(0.5)
    });
}

#[test]
fn a_dead_connection_that_was_kept_for_later_does_not_cost_a_watch_another_minute() {
    let cluster = Cluster::with_pods(2);
    cluster.has(&[web().to(&cluster.bed.pods[..1])]);
    // The one who is refused leaves its connection to the next who asks.
    cluster.server.rules(|rules| {
        let no = (403, "not for you".to_owned());
        rules.refuse.insert(Kind::ServiceCidr, no);
    });
    let agent = cluster.agent(&["--watch-silence", "3s"]);
    eventually("a connection is idle", || {
        !cluster.server.seen().events.is_empty()
    });
    let before = cluster.server.seen().requests.len();
    cluster.server.wire(Wire::HalfOpen);
    let since = Instant::now();
    for path in ["/services?", "/endpointslices?", "/nodes?"] {
        eventually("it is watched again", || {
            let requests = cluster.server.seen().requests;
            requests[before..].iter().any(|uri| uri.contains(path))
        });
    }
    let took = since.elapsed();
    assert!(took < Duration::from_secs(30), "{took:?}");
    drop(agent);
}

#[test]
fn a_watch_that_stays_silent_while_the_server_answers_fails_liveness_and_not_health() {
    let cluster = Cluster::with_pods(2);
    let bed = &cluster.bed;
    cluster.has(&[web().to(&bed.pods[..1])]);
    let mut agent = cluster.agent(&["--watch-silence", "2s", "--watch-stuck", "6s"]);
    assert_eq!(agent.get("127.0.0.1:10256/livez").code, 200);
    let before = "portolan_source_last_event_seconds{resource=\"endpointslices\"}";
    let last = agent.metric(before).expect("a metric");
    cluster.server.rules(|rules| {
        rules
            .refuse
            .insert(Kind::EndpointSlice, (500, "it hurts".to_owned()));
    });
    cluster.server.wire(Wire::Cut);
    cluster.server.wire(Wire::Pass);
    agent.eventually("liveness fails", |agent| {
        let reply = agent.get("127.0.0.1:10256/livez");
        reply.code == 503 && reply.body.contains("\"stuckWatch\":\"endpointslices\"")
    });
    assert!(agent.metric(before).expect("a metric") < last + 5.0);
    let health = agent.get("127.0.0.1:10256/healthz");
    assert_eq!(health.code, 200, "the rules work: {health:?}");
    cluster.server.rules(|rules| rules.refuse.clear());
    agent.eventually("it is alive again", |agent| {
        agent.get("127.0.0.1:10256/livez").code == 200
    });
    bed.pod(2).dial(VIP).times(5).assert_only(&["pod-1"]);
}

#[test]
fn a_server_that_is_down_is_no_reason_to_be_restarted() {
    let cluster = Cluster::with_pods(1);
    cluster.has(&[web().to(&cluster.bed.pods)]);
    let agent = cluster.agent(&["--watch-silence", "1s", "--watch-stuck", "2s"]);
    cluster.server.stop();
    thread::sleep(Duration::from_secs(6));
    let reply = agent.get("127.0.0.1:10256/livez");
    assert_eq!(reply.code, 200, "{reply:?}");
}

#[test]
fn objects_that_cannot_be_read_are_said_and_stop_no_other() {
    let cluster = Cluster::with_pods(2);
    let bed = &cluster.bed;
    cluster.has(&[web().to(&bed.pods[..1])]);
    let broken = |name: &str| {
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"namespace": "default", "name": name},
            "spec": {"clusterIP": "10.233.10.5", "ports": [{"port": "eighty"}]},
        })
    };
    cluster.server.put(&broken("from-the-start"));
    let mut agent = cluster.agent(&[]);
    let dial = bed.pod(2).dial(VIP);
    dial.times(5).assert_only(&["pod-1"]);
    cluster.server.put(&broken("later"));
    cluster.server.inject(
        Kind::Service,
        "{\"type\":\"ADDED\",\"object\":{\"metadata\":",
    );
    cluster.server.inject(Kind::EndpointSlice, "garbage");
    cluster
        .server
        .put_all(&objects(&[web().to(&bed.pods[1..])]));
    eventually("others follow", || dial.answer().server == "pod-2");
    agent.eventually("they are counted", |agent| {
        agent.metric("portolan_source_invalid_objects{resource=\"services\"}") == Some(2.0)
    });
    cluster.server.delete(Kind::Service, "default", "later");
    agent.eventually("and forgotten", |agent| {
        agent.metric("portolan_source_invalid_objects{resource=\"services\"}") == Some(1.0)
    });
    let log = agent.stop();
    assert!(log.contains("default/from-the-start"), "{log}");
    assert!(log.contains("spec.ports[0].port"), "{log}");
}

#[test]
fn servers_that_do_not_stream_lists_are_listed_page_by_page() {
    let cluster = Cluster::with_pods(2);
    let bed = &cluster.bed;
    let all: Vec<Service> = (0..1200_u32)
        .map(|n| {
            Service::new(
                &format!("s{n}"),
                &format!("10.233.{}.{}", 16 + n / 250, n % 250 + 1),
            )
        })
        .chain([web().to(&bed.pods[..1])])
        .collect();
    cluster.has(&all);
    cluster.server.rules(|rules| rules.streams_lists = false);
    let agent = cluster.agent(&[]);
    bed.pod(2).dial(VIP).times(5).assert_only(&["pod-1"]);
    let pages = |of: &str| {
        let requests = cluster.server.seen().requests;
        let pages = requests
            .iter()
            .filter(|one| one.contains(of) && one.contains("continue="));
        pages.count()
    };
    assert_eq!(pages("/services?"), 2);
    assert!(agent.stop().contains("services=1201"));

    // Pages of a version that is forgotten before they are asked for.
    cluster.server.rules(|rules| rules.pages_expire = true);
    let log = cluster.agent(&[]).stop();
    assert!(log.contains("services=1201"), "{log}");
}

#[test]
fn servers_that_never_end_a_streamed_list_are_found_out() {
    let cluster = Cluster::with_pods(2);
    let bed = &cluster.bed;
    cluster.has(&[web().to(&bed.pods[..1])]);
    cluster.server.rules(|rules| rules.endless_lists = true);
    let _agent = cluster.agent(&[]);
    bed.pod(2).dial(VIP).times(5).assert_only(&["pod-1"]);
}

#[test]
fn a_slow_wire_delays_and_breaks_nothing() {
    let cluster = Cluster::with_pods(2);
    let bed = &cluster.bed;
    let all: Vec<Service> = (1..60).map(|n| other(n).to(&bed.pods[..1])).collect();
    cluster.has(&all);
    cluster.server.wire(Wire::Slow(700));
    let _agent = cluster.agent(&["--watch-silence", "3s"]);
    let dial = bed.pod(2).dial("10.233.11.7:80");
    dial.times(5).assert_only(&["pod-1"]);
    cluster.has(&[other(7).to(&bed.pods[1..])]);
    eventually("the change arrives", || dial.answer().server == "pod-2");
}

#[test]
fn a_server_that_is_overloaded_is_not_hammered() {
    let cluster = Cluster::with_pods(1);
    cluster.server.rules(|rules| {
        for kind in [
            Kind::Service,
            Kind::EndpointSlice,
            Kind::Node,
            Kind::ServiceCidr,
        ] {
            rules
                .refuse
                .insert(kind, (429, "too many requests".to_owned()));
        }
    });
    let _agent = cluster.launch(&[]);
    thread::sleep(Duration::from_secs(6));
    let requests = cluster.server.seen().requests.len();
    assert!(
        (8..100).contains(&requests),
        "{requests} requests in six seconds"
    );
}

//! The testbed itself, under rules written by hand and loaded by `iptables-restore`: the checks
//! pass on right rules and fail on wrong ones.

use crate::support::{Family, Outcome, Protocol, Tally, Testbed};

/// kube-proxy's rules for one service over pod-1, pod-2 and pod-3, as `iptables-restore` reads them.
const RIGHT: &str = include_str!("three_endpoints.rules");

fn bed_with(rules: &str) -> Testbed {
    let bed = Testbed::with_pods(4);
    bed.node.namespace.restore(Family::V4, rules);
    bed.node
        .namespace
        .set_sysctl("ipv4/conf/all/route_localnet", "1");
    bed
}

fn from_a_pod(bed: &Testbed) -> Tally {
    bed.pod(4).dial("10.233.10.43:80").times(600)
}

const ALL: [&str; 3] = ["pod-1", "pod-2", "pod-3"];

#[test]
fn right_rules_pass() {
    let bed = bed_with(RIGHT);
    from_a_pod(&bed).assert_even_over(&ALL);
    bed.outside
        .dial("192.168.10.100:30080")
        .times(300)
        .assert_even_over(&ALL);
    bed.node.dial("127.0.0.1:30080").times(20).assert_only(&ALL);
    assert!(
        bed.outside
            .dial("192.168.10.100:30080")
            .answer()
            .is_masqueraded()
    );
    assert!(!bed.pod(4).dial("10.233.10.43:80").answer().is_masqueraded());
}

#[test]
#[should_panic(expected = "chi-square")]
fn a_skewed_spread_is_noticed() {
    let bed = bed_with(&RIGHT.replace("--probability 0.33333333349", "--probability 0.5"));
    from_a_pod(&bed).assert_even_over(&ALL);
}

#[test]
#[should_panic(expected = "pod-2")]
fn an_endpoint_that_gets_nothing_is_noticed() {
    let bed = bed_with(&RIGHT.replace("--probability 0.33333333349", "--probability 1"));
    from_a_pod(&bed).assert_even_over(&ALL);
}

#[test]
fn a_missing_masquerade_is_noticed() {
    let bed = bed_with(&RIGHT.replace("-j MASQUERADE --random-fully", "-j ACCEPT"));
    let seen: Vec<_> = bed.outside.dial("192.168.10.100:30080").times(20).answers;
    assert!(!seen.is_empty() && seen.iter().all(|answer| !answer.is_masqueraded()));
    // Without it a pod that is sent to itself never gets its own packets back.
    let own = bed.pod(1).dial("10.233.10.43:80").impatiently().times(20);
    assert!(own.timed_out > 0, "{own}");
}

#[test]
fn silence_a_refusal_and_an_answer_are_told_apart() {
    let bed = Testbed::with_pods(1);
    let pod = &bed.pod(1).v4;
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let ask = |port: u16| {
            let dial = bed.outside.dial(&format!("192.168.10.100:{port}"));
            dial.over(protocol).impatiently().once()
        };
        let name = protocol.to_string().to_lowercase();
        bed.node.namespace.restore(
            Family::V4,
            &format!(
                "*filter\n-A INPUT -p {name} --dport 9 -j DROP\n-A INPUT -p {name} --dport 10 -j REJECT\n\
                 COMMIT\n*nat\n-A PREROUTING -p {name} --dport 11 -j DNAT --to {pod}:8080\nCOMMIT\n"
            ),
        );
        assert_eq!(ask(9), Outcome::TimedOut, "{name}");
        assert_eq!(ask(10), Outcome::Refused, "{name}");
        assert_eq!(ask(11).answer().server, "pod-1", "{name}");
        assert_eq!(ask(12), Outcome::Refused, "{name}");
    }
}

#[test]
fn curl_reads_a_pods_answer() {
    let bed = bed_with(RIGHT);
    let text = bed.pod(4).curl("10.233.10.43");
    assert!(
        text.starts_with("pod-") && text.contains(" from 10.233.65.4:"),
        "{text}"
    );
}

#[test]
fn a_conversation_is_echoed_by_one_server() {
    let bed = Testbed::with_pods(1);
    let mut talk = bed.outside.dial("192.168.10.100:1").impatiently();
    assert_eq!(talk.once(), Outcome::Refused);
    talk = bed.node.dial(&format!("{}:8080", bed.pod(1).v4));
    let mut talk = talk.converse();
    assert_eq!(talk.say("hello").unwrap(), "pod-1");
    assert_eq!(talk.say("again").unwrap(), "pod-1");
}

#[test]
fn what_no_rule_cares_for_ends_at_the_uplink() {
    let bed = Testbed::with_pods_and_far_pods(1, 1);
    for client in [bed.pod(1), &bed.node, &bed.outside] {
        for target in ["203.0.113.77:80", "[fd00:203:0:113::77]:80"] {
            assert_eq!(
                client.dial(target).answer().server,
                "uplink",
                "{}",
                client.name
            );
        }
    }
    let second = bed
        .outside
        .dial("[fd00:203:0:113::77]:80")
        .from("fd00:192:168:10::2");
    assert_eq!(second.answer().server, "uplink");
}

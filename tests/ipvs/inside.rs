//! Clients inside the cluster, and what `ipvsadm` shows.

use std::collections::BTreeMap;

use crate::node::{everything, saved, testbed};
use crate::support::{Protocol, Service, Testbed};

/// Counts of answers by server, in the order of their names.
fn counts(bed: &Testbed, target: &str, times: usize) -> Vec<usize> {
    let tally = bed.pod(1).dial(target).times(times);
    tally.assert_all_answered();
    tally.by_server().into_values().collect()
}

#[test]
fn each_scheduler_spreads_connections_as_it_says_and_ipvsadm_shows_what_kube_proxy_writes() {
    let Some(bed) = testbed(1, 3) else { return };
    let before = everything(&bed.node.namespace);
    let service = |name: &str, ip: &str| Service::new(name, ip).to(&bed.far_pods);
    let scheduler = |name: &str, ip: &str, value: &str| {
        service(name, ip).annotation("portolan.dev/ipvs-scheduler", value)
    };
    let far = |n: usize| bed.far_pod(n).v4.clone();
    let weights = format!("1,{}=2,{}=3", far(2), far(3));
    let mut services = vec![
        service("even", "10.233.10.1").dual_stack("fd00:10:233::1"),
        scheduler("weighted", "10.233.10.2", "wrr")
            .annotation("portolan.dev/ipvs-weight", &weights),
        scheduler("by-source", "10.233.10.3", "sh"),
        scheduler("maglev", "10.233.10.4", "mh,mh-fallback"),
        service("sticky", "10.233.10.5").sticky(10_800),
        service("datagrams", "10.233.10.6").over(Protocol::Udp),
        Service::new("nobody", "10.233.10.7"),
    ];
    let others = [
        "lc",
        "wlc",
        "dh",
        "sed",
        "nq",
        "fo",
        "ovf",
        "lblc",
        "sh,sh-fallback,sh-port",
    ];
    let at = |number: usize| format!("10.233.10.{}", 20 + number);
    for (number, value) in others.into_iter().enumerate() {
        services.push(scheduler(&format!("other-{number}"), &at(number), value));
    }
    if Protocol::Sctp.is_supported() {
        services.push(service("sctp", "10.233.10.8").over(Protocol::Sctp));
    }
    bed.ipvs_apply(&services, &[]);

    assert_eq!(counts(&bed, "10.233.10.1:80", 300), [100, 100, 100]);
    assert_eq!(counts(&bed, "[fd00:10:233::1]:80", 30), [10, 10, 10]);
    assert_eq!(counts(&bed, "10.233.10.2:80", 60), [10, 20, 30]);
    for one in ["10.233.10.3:80", "10.233.10.4:80", "10.233.10.5:80"] {
        assert_eq!(counts(&bed, one, 20), [20], "{one} changes its mind");
    }
    for number in 0..others.len() {
        let target = format!("{}:80", at(number));
        bed.pod(1).dial(&target).times(2).assert_all_answered();
    }
    let udp = bed
        .pod(1)
        .dial("10.233.10.6:80")
        .over(Protocol::Udp)
        .times(30);
    udp.assert_only(&["far-1", "far-2", "far-3"]);
    let refused = bed.pod(1).dial("10.233.10.7:80").times(3);
    assert_eq!(refused.refused, 3, "{refused}");
    let unused = bed.pod(1).dial("10.233.10.1:81").times(3);
    assert_eq!(unused.refused, 3, "{unused}");
    if Protocol::Sctp.is_supported() {
        let sctp = bed
            .pod(1)
            .dial("10.233.10.8:80")
            .over(Protocol::Sctp)
            .times(9);
        sctp.assert_only(&["far-1", "far-2", "far-3"]);
    }
    // Pods keep their address; the node, whose source may be the service's own, does not.
    let answer = bed.pod(1).dial("10.233.10.1:80").answer();
    assert!(!answer.is_masqueraded(), "{answer:?}");
    let from_node = bed.node.dial("10.233.10.1:80").times(30);
    from_node.assert_only(&["far-1", "far-2", "far-3"]);

    let lines = saved(&bed.node.namespace);
    let mut wanted = BTreeMap::new();
    for (front, rest, weights) in [
        ("-t 10.233.10.1:80", "-s rr", [1, 1, 1]),
        ("-t 10.233.10.2:80", "-s wrr", [1, 2, 3]),
        ("-t 10.233.10.3:80", "-s sh", [1, 1, 1]),
        ("-t 10.233.10.4:80", "-s mh -b mh-fallback", [1, 1, 1]),
        ("-t 10.233.10.5:80", "-s rr -p 10800", [1, 1, 1]),
        ("-u 10.233.10.6:80", "-s rr", [1, 1, 1]),
    ] {
        wanted.insert(format!("-A {front} {rest}"), ());
        for (number, weight) in (1..).zip(weights) {
            let real = format!("-a {front} -r {}:8080 -m -w {weight}", far(number));
            wanted.insert(real, ());
        }
    }
    for (number, value) in others.into_iter().enumerate() {
        let value = value.replacen(',', " -b ", 1);
        wanted.insert(format!("-A -t {}:80 -s {value}", at(number)), ());
    }
    for line in wanted.keys() {
        assert!(lines.contains(line), "{line} is missing: {lines:#?}");
    }
    let again = bed.ipvs_apply(&services, &[]);
    assert!(again.stdout.contains("nothing to do"), "{}", again.stdout);
    bed.ipvs("verify", &services, &[]).exits(0);
    bed.ipvs("diff", &services[1..], &[]).exits(3);
    bed.ipvs_cleanup();
    assert_eq!(everything(&bed.node.namespace), before);
}

//! Taking a node over from kube-proxy in IPVS mode while clients connect.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::signal::Signal::SIGTERM;

use crate::node::{saved, testbed};
use crate::running::{Agent, has, is_bound, lay_out, log_of, until};
use crate::support::program::Mode;
use crate::support::{Service, Testbed};

const SERVERS: &str = include_str!("kube_proxy/ipvsadm");
const SETS: &str = include_str!("kube_proxy/ipset");
const RULES: &str = include_str!("kube_proxy/iptables");

/// What kube-proxy leaves when it is stopped, and a virtual server of somebody else.
fn load(bed: &Testbed) {
    let node = &bed.node.namespace;
    for (setting, value) in [("conntrack", "1"), ("expire_nodest_conn", "1")] {
        node.set_sysctl(&format!("ipv4/vs/{setting}"), value);
    }
    let addresses = ["10.233.10.1", "10.233.10.9", "203.0.113.10"];
    let addresses = addresses.map(|ip| format!("addr add {ip}/32 dev kube-ipvs0"));
    node.ip(&[
        &["link add kube-ipvs0 type dummy".to_owned()],
        &addresses[..],
    ]
    .concat());
    let router = "create KUBE-SRC-ROUTER hash:ip\n";
    node.run_with_input("ipset", &["restore"], &format!("{SETS}{router}"));
    node.run_with_input("iptables-restore", &["--noflush"], RULES);
    let foreign = "-A -t 192.168.10.100:8443 -s wrr\n";
    node.run_with_input("ipvsadm-restore", &[], &format!("{SERVERS}{foreign}"));
}

#[test]
fn clients_do_not_notice_when_a_node_is_taken_over_from_kube_proxy() {
    let Some(bed) = testbed(1, 2) else { return };
    let node = &bed.node.namespace;
    load(&bed);
    let web = Service::new("web", "10.233.10.1")
        .node_port(30080)
        .load_balancer("203.0.113.10")
        .to(&bed.far_pods);
    let targets = ["10.233.10.1:80", "192.168.10.100:30080", "203.0.113.10:80"];
    let clients = [&bed.pods[0], &bed.outside, &bed.outside];

    // What stays without the flag is named.
    let plain = bed.ipvs("diff", std::slice::from_ref(&web), &[]).exits(3);
    assert!(!plain.stdout.contains("30999"), "{}", plain.stdout);
    let told = bed.ipvs("verify", std::slice::from_ref(&web), &[]).stderr;
    for words in [
        "IPv4 KUBE- chains of the IPVS mode",
        "17 ipsets of kube-proxy's IPVS mode",
    ] {
        assert!(told.contains(words), "{told}");
    }
    let diff = bed
        .ipvs("diff", std::slice::from_ref(&web), &["--take-over"])
        .exits(3);
    for line in [
        "--D -t 10.233.10.9:80",
        "--D -t 192.168.10.100:30999",
        "-17 ipsets of kube-proxy's IPVS mode",
    ] {
        assert!(diff.stdout.contains(line), "{}", diff.stdout);
    }

    lay_out(&bed, &[web]);
    let dials = clients.iter().zip(targets);
    let mut talks: Vec<_> = dials
        .map(|(client, target)| client.dial(target).converse())
        .collect();
    let on: Vec<_> = talks
        .iter_mut()
        .map(|talk| talk.say("before").unwrap())
        .collect();
    let done = AtomicBool::new(false);
    let agent = thread::scope(|scope| {
        let done = &done;
        let loops: Vec<_> = clients
            .iter()
            .zip(targets)
            .map(|(client, target)| {
                let finished = || done.load(Ordering::Relaxed);
                scope.spawn(move || client.dial(target).until(finished))
            })
            .collect();
        let agent = thread::scope(|inner| {
            let started = inner.spawn(|| Agent::start(&bed, &["--take-over"])).join();
            done.store(true, Ordering::Relaxed);
            started.unwrap()
        });
        for tally in loops.into_iter().map(|client| client.join().unwrap()) {
            tally.assert_only(&["far-1", "far-2"]);
        }
        agent
    });
    for (talk, server) in talks.iter_mut().zip(&on) {
        assert_eq!(&talk.say("after").unwrap(), server);
    }
    drop(talks);

    // What was as it should be is still there, what nobody wants is gone.
    for line in SERVERS.lines() {
        let stale = line.contains("10.233.10.9") || line.contains(":30999");
        has(&bed, line, !stale);
    }
    until(&bed, "the address to go", || !is_bound(&bed, "10.233.10.9"));
    let rules = node.run("iptables-save", &[]);
    assert!(!rules.contains("KUBE-"), "{rules}");
    assert!(saved(node).contains("-A -t 192.168.10.100:8443 -s wrr"));
    // Its sets are gone, and nobody else's.
    let sets = || node.run("ipset", &["list", "-n"]);
    until(&bed, "the sets to go", || sets() == "KUBE-SRC-ROUTER\n");
    assert!(!log_of(&bed).contains("stays"), "{}", log_of(&bed));
    for (client, target) in clients.iter().zip(targets) {
        client
            .dial(target)
            .times(4)
            .assert_only(&["far-1", "far-2"]);
    }
    agent.stop(SIGTERM);
    bed.ipvs_cleanup();
    let left: Vec<_> = saved(node).into_iter().collect();
    assert_eq!(left, ["-A -t 192.168.10.100:8443 -s wrr"]);
    assert_eq!(sets(), "KUBE-SRC-ROUTER\n");

    // What kube-proxy left goes in one cleanup as well: rules first, then the sets they refer to.
    node.run_with_input("ipset", &["restore"], SETS);
    node.run_with_input("iptables-restore", &["--noflush"], RULES);
    bed.ipvs_cleanup();
    assert_eq!(sets(), "KUBE-SRC-ROUTER\n");
}

/// Whoever leaves IPVS need not end anybody's connection: what kube-proxy left of it is in nobody's
/// way, and can be removed when it is no longer used.
#[test]
fn in_the_nftables_mode_new_connections_go_by_rules_and_old_ones_stay_with_ipvs() {
    let Some(bed) = testbed(1, 2) else { return };
    let node = &bed.node.namespace;
    load(&bed);
    let web = Service::new("web", "10.233.10.1")
        .node_port(30080)
        .load_balancer("203.0.113.10")
        .to(&bed.far_pods);
    let dials = [
        bed.pods[0].dial("10.233.10.1:80"),
        bed.node.dial("10.233.10.1:80"),
        bed.outside.dial("192.168.10.100:30080"),
        bed.outside.dial("203.0.113.10:80"),
    ];
    let mut talks = dials.each_ref().map(|dial| dial.converse());
    let on = talks.each_mut().map(|talk| talk.say("before").unwrap());
    // Connections that IPVS knows, those that ended a moment ago among them.
    let taken = || {
        let listed = node.run("ipvsadm", &["-l", "-n"]);
        let servers = listed.lines().filter(|line| line.contains("-> 10.233.66."));
        let counts = servers.flat_map(|line| line.split_whitespace().skip(4));
        counts
            .map(|count| count.parse::<u32>().unwrap())
            .sum::<u32>()
    };
    assert_eq!(taken(), 4);

    let manifest = bed.write(&[web]);
    let apply = || {
        bed.verb_in(Mode::Nftables, "apply", &manifest, &["--take-over"])
            .exits(0)
    };
    apply();
    for dial in &dials {
        dial.times(20).assert_only(&["far-1", "far-2"]);
    }
    assert_eq!(taken(), 4, "IPVS took new connections");
    for (talk, server) in talks.iter_mut().zip(&on) {
        assert_eq!(&talk.say("after").unwrap(), server);
    }
    drop(talks);

    // The commands of docs/migration.md.
    node.run("ipvsadm", &["--clear"]);
    node.run("ip", &["link", "del", "kube-ipvs0"]);
    node.run(
        "sh",
        &[
            "-c",
            "ipset list -n | grep ^KUBE- | grep -v ROUTER | xargs -n1 ipset destroy",
        ],
    );
    for dial in &dials {
        dial.times(20).assert_only(&["far-1", "far-2"]);
    }
    assert_eq!(node.run("ipset", &["list", "-n"]), "KUBE-SRC-ROUTER\n");
    assert!(apply().stdout.contains("nothing to do"));
}

//! Taking a node over from another proxy, or from portolan's other mode, while clients connect.
//! Root is needed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a failed test"
)]

mod support;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use support::program::{PROGRAM, Run, portolan_in};
use support::{Family, Mode, Testbed};

/// kube-proxy 1.36 in iptables mode and the services it was given; the far endpoints are far-1's.
const SAVED: &str = include_str!("parity/03-nodeport/iptables-save.txt");
const SAVED_V6: &str = include_str!("parity/03-nodeport/ip6tables-save.txt");
/// The same services in nftables mode.
const TABLES: &str = include_str!("takeover/kube-proxy.nft");

const VIP: &str = "10.233.10.43:80";
const NODE_PORT: &str = "192.168.10.100:30080";
/// How often each change of hands is tried.
const ROUNDS: usize = 5;

/// Who programmed the node before.
#[derive(Clone, Copy, Debug)]
enum Old {
    KubeProxy(Mode),
    Portolan(Mode),
}

use Mode::{Iptables, Nftables};

impl Old {
    /// Puts its rules into the empty node.
    fn load(self, bed: &Testbed) {
        let node = &bed.node.namespace;
        node.run("nft", &["flush", "ruleset"]);
        match self {
            Self::KubeProxy(Iptables) => {
                for (family, rules) in [(Family::V4, SAVED), (Family::V6, SAVED_V6)] {
                    node.restore(family, &without_nfacct(rules));
                }
            }
            Self::KubeProxy(Nftables) => drop(node.run_with_input("nft", &["-f", "-"], TABLES)),
            Self::Portolan(mode) => drop(apply(bed, mode, &[])),
        }
        assert!(self.is_there(bed), "{self:?}");
    }

    fn is_there(self, bed: &Testbed) -> bool {
        let node = &bed.node.namespace;
        match self {
            Self::KubeProxy(Iptables) | Self::Portolan(Iptables) => {
                node.saved_both().contains("KUBE-")
            }
            Self::KubeProxy(Nftables) => {
                node.run("nft", &["list", "tables"]).contains("kube-proxy")
            }
            Self::Portolan(Nftables) => node.run("nft", &["list", "tables"]).contains("portolan"),
        }
    }
}

/// Counters of nfacct have to be made before a rule names them; packets do not mind.
fn without_nfacct(rules: &str) -> String {
    let counters = [
        "ct_state_invalid_dropped_pkts",
        "localhost_nps_accepted_pkts",
    ];
    counters.iter().fold(rules.to_owned(), |rules, counter| {
        rules.replace(&format!(" -m nfacct --nfacct-name  {counter}"), "")
    })
}

/// pod-1 and far-1 with all endpoints of the captured services; pod-2 is a client.
fn bed() -> Testbed {
    let bed = Testbed::with_pods_and_far_pods(2, 1);
    let second = ["address".to_owned() + " add 10.233.66.9/32 dev eth0"];
    bed.far_pod(1).namespace.ip(&second);
    bed
}

fn manifest() -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/parity/03-nodeport/input.yaml")
}

fn apply(bed: &Testbed, mode: Mode, more: &[&str]) -> Run {
    bed.verb_in(mode, "apply", &manifest(), more).exits(0)
}

/// Replaces the old rules with `--take-over` while clients in all places connect without a pause.
fn hand_over(old: Old, mode: Mode) {
    let bed = bed();
    for _ in 0..ROUNDS {
        old.load(&bed);
        nobody_notices(&bed, || {
            apply(&bed, mode, &["--take-over"]);
        });
    }
    nothing_is_left(&bed, mode);
}

/// Connections stay, and every new one is answered.
fn nobody_notices(bed: &Testbed, change: impl FnOnce()) {
    let talk = bed.pod(2).dial(VIP).converse();
    let from_outside = bed.outside.dial(NODE_PORT).converse();
    let mut talks = [talk, from_outside].map(|mut talk| (talk.say("before").unwrap(), talk));
    let done = AtomicBool::new(false);
    let finished = || done.load(Ordering::Relaxed);
    thread::scope(|scope| {
        let clients = [
            scope.spawn(|| bed.pod(2).dial(VIP).until(finished)),
            scope.spawn(|| bed.node.dial(VIP).until(finished)),
            scope.spawn(|| bed.outside.dial(NODE_PORT).until(finished)),
        ];
        thread::sleep(Duration::from_millis(30)); // For connections before, and after.
        let end = StopAtEnd(&done);
        change();
        thread::sleep(Duration::from_millis(30));
        drop(end);
        for client in clients {
            let tally = client.join().unwrap();
            tally.assert_only(&["far-1", "pod-1"]);
            assert!(tally.answers.len() > 20, "{tally}");
        }
    });
    for (server, talk) in &mut talks {
        assert_eq!(&talk.say("after").unwrap(), server);
    }
}

/// Says that it is enough, also when the change fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The node holds what the mode wants, and no trace of another.
fn nothing_is_left(bed: &Testbed, mode: Mode) {
    bed.verb_in(mode, "verify", &manifest(), &[]).exits(0);
    let before = bed.node.namespace.generation();
    apply(bed, mode, &["--take-over"]);
    assert_eq!(
        bed.node.namespace.generation(),
        before,
        "there was more to do"
    );
    for family in Family::BOTH {
        let tables = bed
            .node
            .namespace
            .run("nft", &["list", "tables", family.nft()]);
        let kept = bed.node.namespace.saved(family);
        let chains = kept.contains("KUBE-");
        assert!(!tables.contains("kube-proxy"), "{tables}");
        assert_eq!(tables.contains("portolan"), mode == Nftables, "{tables}");
        assert_eq!(chains, mode == Iptables, "{kept}");
    }
}

#[test]
fn from_kube_proxy_in_iptables_mode_to_nftables() {
    hand_over(Old::KubeProxy(Iptables), Nftables);
}

#[test]
fn from_kube_proxy_in_iptables_mode_to_the_same() {
    hand_over(Old::KubeProxy(Iptables), Iptables);
}

#[test]
fn from_kube_proxy_in_nftables_mode_to_nftables() {
    hand_over(Old::KubeProxy(Nftables), Nftables);
}

#[test]
fn from_kube_proxy_in_nftables_mode_to_iptables() {
    hand_over(Old::KubeProxy(Nftables), Iptables);
}

#[test]
fn from_portolans_iptables_mode_to_nftables() {
    hand_over(Old::Portolan(Iptables), Nftables);
}

#[test]
fn from_portolans_nftables_mode_to_iptables() {
    hand_over(Old::Portolan(Nftables), Iptables);
}

/// The clients above are quick enough to notice a moment without rules.
#[test]
#[should_panic(expected = "answers {")]
fn in_two_steps_it_would_be_noticed() {
    let bed = bed();
    Old::KubeProxy(Iptables).load(&bed);
    nobody_notices(&bed, || {
        portolan_in(&bed.node.namespace, &["cleanup"]).exits(0);
        apply(&bed, Nftables, &[]);
    });
}

/// Without the flag a warning names what is there, and it stays.
fn is_left_alone(old: Old, mode: Mode, names: &[&str]) {
    let bed = bed();
    old.load(&bed);
    for verb in ["apply", "verify"] {
        let run = bed.verb_in(mode, verb, &manifest(), &[]).exits(0);
        for name in names {
            let warning = format!("rules of another proxy are in place and stay: {name};");
            assert!(run.stderr.contains(&warning), "{verb}: {}", run.stderr);
        }
    }
    assert!(old.is_there(&bed));
    for (client, target) in [
        (bed.pod(2), VIP),
        (&bed.node, VIP),
        (&bed.outside, NODE_PORT),
    ] {
        let tally = client.dial(target).times(20);
        tally.assert_only(&["far-1", "pod-1"]);
    }
    // What the flag would do can be seen before.
    let diff = bed.verb_in(mode, "diff", &manifest(), &["--take-over"]);
    let diff = diff.exits(3);
    for name in names {
        let name = name.split(" of ").next().unwrap();
        assert!(diff.stdout.contains(&format!("-{name}")), "{}", diff.stdout);
    }
    let before = bed.node.namespace.generation();
    apply(&bed, mode, &["--take-over", "--dry-run"]);
    assert_eq!(bed.node.namespace.generation(), before);
    // It goes when it is asked for, and then there is no warning.
    let run = apply(&bed, mode, &["--take-over"]);
    assert!(!run.stderr.contains("another proxy"), "{}", run.stderr);
    assert!(!old.is_there(&bed));
}

#[test]
fn kube_proxys_chains_stay_without_the_flag() {
    let names = [
        "IPv4 KUBE- chains of the iptables mode",
        "IPv6 KUBE- chains of the iptables mode",
    ];
    is_left_alone(Old::KubeProxy(Iptables), Nftables, &names);
    is_left_alone(Old::Portolan(Iptables), Nftables, &names);
}

#[test]
fn kube_proxys_tables_stay_without_the_flag() {
    let names = ["table ip kube-proxy", "table ip6 kube-proxy"];
    is_left_alone(Old::KubeProxy(Nftables), Nftables, &names);
    is_left_alone(Old::KubeProxy(Nftables), Iptables, &names);
}

#[test]
fn portolans_own_table_goes_with_the_mode_without_asking() {
    let bed = bed();
    Old::Portolan(Nftables).load(&bed);
    let diff = bed.verb_in(Iptables, "diff", &manifest(), &[]).exits(3);
    assert!(
        diff.stdout.contains("-table ip portolan"),
        "{}",
        diff.stdout
    );
    apply(&bed, Iptables, &[]);
    assert!(!Old::Portolan(Nftables).is_there(&bed));
    bed.verb_in(Iptables, "verify", &manifest(), &[]).exits(0);
}

/// Rules of others in the tables that both used, and other tables, are not portolan's to take.
#[test]
fn what_belongs_to_neither_stays() {
    let bed = bed();
    let node = &bed.node.namespace;
    Old::KubeProxy(Iptables).load(&bed);
    node.restore(
        Family::V4,
        "*nat\n:MINE - [0:0]\n-A POSTROUTING -o eth9 -j MINE\n-A MINE -j RETURN\nCOMMIT\n\
         *filter\n-A FORWARD -s 198.51.100.7 -j DROP\nCOMMIT\n\
         *mangle\n:KUBE-KUBELET-CANARY - [0:0]\nCOMMIT\n",
    );
    let own = "table inet mine { set kept { type ipv4_addr; elements = { 192.0.2.1 }; };\n\
               chain nat { type nat hook prerouting priority dstnat; ip daddr @kept accept; }; }";
    node.run_with_input("nft", &["-f", "-"], own);
    apply(&bed, Nftables, &["--take-over"]);
    let saved = node.saved_both();
    for rule in [
        "-A POSTROUTING -o eth9 -j MINE",
        "-A MINE -j RETURN",
        "-A FORWARD -s 198.51.100.7/32 -j DROP",
        ":KUBE-KUBELET-CANARY",
    ] {
        assert!(saved.contains(rule), "no {rule} in {saved}");
    }
    assert!(!saved.contains("KUBE-SERVICES"), "{saved}");
    let kept = node.run("nft", &["list", "table", "inet", "mine"]);
    assert!(
        kept.contains("192.0.2.1") && kept.contains("@kept accept"),
        "{kept}"
    );
}

#[test]
fn cleanup_removes_kube_proxys_tables_too() {
    let bed = bed();
    Old::KubeProxy(Nftables).load(&bed);
    let listed = portolan_in(&bed.node.namespace, &["cleanup", "--dry-run"]).exits(0);
    assert!(
        listed.stdout.contains("table ip kube-proxy"),
        "{}",
        listed.stdout
    );
    assert!(Old::KubeProxy(Nftables).is_there(&bed));
    bed.node.namespace.run(PROGRAM, &["cleanup"]);
    assert!(!Old::KubeProxy(Nftables).is_there(&bed));
}

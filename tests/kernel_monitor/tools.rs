//! What people do with `nft` and `iptables`, and what is heard of it.

use portolan::plan::nftables::ElementKey;

use super::*;

/// What is heard of one command on a table that is there.
fn heard_of(command: &str) -> Vec<String> {
    let mut heard = Vec::new();
    in_new_netns(|| {
        nft(TABLE);
        let mut monitor = open();
        nft(command);
        heard = words(&mut monitor);
    });
    heard
}

#[test]
fn each_kind_of_damage_by_nft_is_told_by_name() {
    for (command, expected) in [
        ("delete table ip portolan", "table ip portolan deleted"),
        ("flush ruleset", "table ip portolan deleted"),
        (
            "flush table ip portolan",
            "2 rules deleted from chain services of table ip portolan",
        ),
        (
            "flush chain ip portolan services",
            "2 rules deleted from chain services of table ip portolan",
        ),
        (
            "flush chain ip portolan services; delete chain ip portolan services",
            "chain services of table ip portolan deleted",
        ),
        (
            "add rule ip portolan services counter drop",
            "1 rule added to chain services of table ip portolan",
        ),
        (
            "insert rule ip portolan services tcp dport { 22, 25 } drop",
            "1 rule added to chain services of table ip portolan",
        ),
        (
            "add chain ip portolan mine",
            "chain mine of table ip portolan added or changed",
        ),
        (
            "rename chain ip portolan services mine",
            "chain mine of table ip portolan added or changed",
        ),
        (
            "add set ip portolan mine { type inet_service; }",
            "set mine of table ip portolan added or changed",
        ),
        (
            "delete map ip portolan endpoints",
            "set endpoints of table ip portolan deleted",
        ),
        (
            "add element ip portolan frontends { 10.9.0.1, 10.9.0.2 }",
            "2 elements added to set frontends of table ip portolan",
        ),
        (
            "delete element ip portolan endpoints { 10.0.0.1 }",
            "1 element deleted from map endpoints of table ip portolan",
        ),
        (
            "delete element ip portolan endpoints { 10.0.0.1 }; \
             add element ip portolan endpoints { 10.0.0.1 : 10.1.0.9 }",
            "1 element deleted from and 1 added to map endpoints of table ip portolan",
        ),
        (
            "flush set ip portolan frontends",
            "3 elements deleted from set frontends of table ip portolan",
        ),
        (
            "add counter ip portolan mine",
            "object mine of table ip portolan added or changed",
        ),
        (
            "add table ip6 portolan",
            "table ip6 portolan added or changed",
        ),
        (
            "add table ip portolan { flags dormant; }",
            "table ip portolan added or changed",
        ),
    ] {
        // Linux 6.1 says of a deleted set that it was a map; newer kernels give its name alone.
        let heard = heard_of(command).join("\n");
        let heard = heard.replace(
            "map endpoints of table ip portolan deleted",
            "set endpoints of table ip portolan deleted",
        );
        assert_eq!(heard, format!("{expected} by nft"), "{command}");
    }
}

#[test]
fn a_table_deleted_and_made_anew_in_one_transaction_is_one_change() {
    let heard = heard_of("delete table ip portolan; add table ip portolan");
    assert_eq!(heard, ["table ip portolan deleted and made anew by nft"]);
}

#[test]
fn what_changes_nothing_is_not_told() {
    for command in [
        "add table ip portolan",
        "add element ip portolan frontends { 10.0.0.1 }",
        "list ruleset",
    ] {
        assert_eq!(heard_of(command), [""; 0], "{command}");
    }
}

#[test]
fn other_tables_and_families_are_not_told_but_their_generations_are_known() {
    in_new_netns(|| {
        nft(TABLE);
        let mut monitor = open();
        let before = generation(&mut socket()).unwrap();
        for family in ["ip", "ip6", "inet", "bridge", "netdev", "arp"] {
            nft(&format!("add table {family} other"));
            nft(&format!("add set {family} other s {{ type ipv4_addr; }}"));
            nft(&format!("add element {family} other s {{ 10.0.0.1 }}"));
        }
        nft("add table inet portolan");
        nft("add table ip portolan2");
        iptables("-t nat -A PREROUTING -j ACCEPT");
        assert_eq!(words(&mut monitor), [""; 0]);
        let present = generation(&mut socket()).unwrap();
        assert_eq!(monitor.last_generation(), Some(present));
        assert_eq!(present, before + 21);
    });
}

#[test]
fn the_generation_is_the_one_the_transaction_made() {
    in_new_netns(|| {
        nft(TABLE);
        let mut monitor = open();
        nft("flush table ip portolan");
        let present = generation(&mut socket()).unwrap();
        nft("add table ip other");
        let heard = transactions(&mut monitor);
        let generations: Vec<u32> = heard.iter().map(|t| t.generation).collect();
        assert_eq!(generations, [present]);
    });
}

#[test]
fn keys_of_a_few_elements_are_kept_and_of_many_only_counted() {
    in_new_netns(|| {
        nft(TABLE);
        let mut monitor = open();
        nft("delete element ip portolan endpoints { 10.0.0.1 }");
        nft("add element ip portolan frontends { 10.9.0.1, 10.9.0.2 }");
        let many: Vec<String> = (0..100).map(|n| format!("10.8.0.{n}")).collect();
        let many = many.join(", ");
        nft(&format!("add element ip portolan frontends {{ {many} }}"));
        let heard = transactions(&mut monitor);
        let of = |index: usize| &heard[index].damage[0];
        let key = |last: [u8; 4]| ElementKey {
            key: last.into(),
            interval_end: false,
        };
        assert_eq!(of(0).keys().unwrap(), [key([10, 0, 0, 1])]);
        let mut both = of(1).keys().unwrap().to_vec();
        both.sort();
        assert_eq!(both, [key([10, 9, 0, 1]), key([10, 9, 0, 2])]);
        assert_eq!((of(2).added, of(2).keys()), (100, None));
    });
}

/// Interest of the iptables mode.
fn kube() -> NftMonitor {
    let tables = ["nat", "filter", "mangle"];
    let interest = tables.iter().fold(Interest::new(), |interest, name| {
        interest.chains(table(V4, name), "KUBE-")
    });
    NftMonitor::open(interest).unwrap()
}

#[test]
fn damage_by_iptables_to_our_chains_is_told_by_name() {
    in_new_netns(|| {
        iptables("-t nat -N KUBE-SERVICES");
        iptables("-t nat -A KUBE-SERVICES -p tcp -m comment --comment a -j RETURN");
        iptables("-t nat -A PREROUTING -m comment --comment x -j KUBE-SERVICES");
        iptables("-t nat -A OUTPUT -j KUBE-SERVICES");
        let mut monitor = kube();
        let mut expect = |arguments: &str, expected: &str| {
            iptables(arguments);
            let expected = format!("{expected} by iptables");
            assert_eq!(words(&mut monitor), [expected], "{arguments}");
        };
        expect(
            "-t nat -D OUTPUT -j KUBE-SERVICES",
            "1 rule deleted from chain OUTPUT of table ip nat",
        );
        expect(
            "-t nat -A KUBE-SERVICES -j ACCEPT",
            "1 rule added to chain KUBE-SERVICES of table ip nat",
        );
        expect(
            "-t nat -N KUBE-MINE",
            "chain KUBE-MINE of table ip nat added or changed",
        );
        expect(
            "-t nat -F",
            "2 rules deleted from chain KUBE-SERVICES of table ip nat, \
             1 rule deleted from chain PREROUTING of table ip nat",
        );
        expect(
            "-t nat -X KUBE-SERVICES",
            "chain KUBE-SERVICES of table ip nat deleted",
        );
    });
}

#[test]
fn other_chains_of_a_shared_table_are_not_told() {
    in_new_netns(|| {
        iptables("-t nat -N KUBE-SERVICES");
        let mut monitor = kube();
        iptables("-t nat -N DOCKER");
        iptables("-t nat -A DOCKER -p tcp -j DNAT --to 10.0.0.1");
        iptables("-t nat -A PREROUTING -j DOCKER");
        iptables("-t nat -A PREROUTING -m comment --comment KUBE-SERVICES -j ACCEPT");
        iptables("-t filter -P FORWARD ACCEPT");
        iptables("-t nat -D PREROUTING -j DOCKER");
        iptables("-t nat -F DOCKER");
        iptables("-t nat -X DOCKER");
        // The table itself is heard of: with it, our chains would go.
        assert_eq!(
            words(&mut monitor),
            ["table ip filter added or changed by iptables"]
        );
    });
}

#[test]
fn a_deleted_shared_table_is_told() {
    in_new_netns(|| {
        iptables("-t nat -N KUBE-SERVICES");
        let mut monitor = kube();
        nft("delete table ip nat");
        assert_eq!(words(&mut monitor), ["table ip nat deleted by nft"]);
    });
}

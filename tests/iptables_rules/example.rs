//! A whole example, letter by letter: the rules of five services of different kinds, as
//! `iptables-save` shows them on a node of kube-proxy.

use portolan::model::{IpFamily, Protocol, Snapshot};
use portolan::translate::iptables::{IptablesOptions, LocalDetector, NfacctObjects};

use super::cluster::{describe, node, options, snapshot};
use super::text::{rules, text};

fn five_services() -> Snapshot {
    snapshot([
        describe("ns1/svc1", "10.96.0.41")
            .tcp("p80", 80)
            .endpoints_at(8080, &["10.244.1.11", "10.244.2.12", "10.244.3.13"]),
        describe("ns2/edge", "10.96.0.42")
            .tcp("p443", 443)
            .node_port(30443)
            .vips(&["203.0.113.10"])
            .external_ips(&["198.51.100.7"])
            .external_local()
            .health_check(32100)
            .endpoints_at(8443, &["10.244.1.21 local", "10.244.2.22"]),
        describe("ns3/shop", "10.96.0.43")
            .tcp("p80", 80)
            .node_port(30080)
            .vips(&["203.0.113.20"])
            .source_ranges(&["192.168.0.0/16", "198.51.100.0/24"])
            .affinity(10800)
            .endpoints_at(8080, &["10.244.1.31", "10.244.2.32"]),
        describe("ns4/empty", "10.96.0.44")
            .port("dns", Protocol::Udp, 53)
            .node_port(30053),
        describe("ns5/near", "10.96.0.45")
            .tcp("", 9000)
            .internal_local()
            .endpoints(&["10.244.2.52"]),
    ])
}

#[test]
fn five_services_read_as_kube_proxy_writes_them() {
    let mut node = node();
    node.addresses = vec!["192.168.10.5".parse().unwrap()];
    let options = IptablesOptions {
        local_detector: LocalDetector::Cidr("10.244.0.0/16".parse().unwrap()),
        ..IptablesOptions::new(IpFamily::V4, node)
    };
    let actual = text(&five_services(), &options);
    assert_eq!(actual, include_str!("worked_example.txt"));
}

#[test]
fn ipv6_has_the_same_rules_but_for_localhost_and_the_words_for_addresses() {
    let snapshot = snapshot([
        describe("ns1/svc1", "fd00:10:96::41")
            .tcp("p80", 80)
            .node_port(30080)
            .affinity(60)
            .endpoints(&["fd00:10::1"]),
        describe("ns2/empty", "fd00:10:96::42").tcp("p80", 80),
    ]);
    let rules = rules(&snapshot, &options(IpFamily::V6));
    assert_eq!(rules["filter KUBE-FIREWALL"], [""; 0]);
    assert_eq!(
        rules["nat KUBE-NODEPORTS"],
        [
            "-p tcp -m comment --comment \"ns1/svc1:p80\" -m tcp --dport 30080 \
          -j KUBE-EXT-XPGD46QRK7WJZT7O"
        ]
    );
    assert_eq!(
        rules["nat KUBE-SERVICES"][1],
        "! -d ::1/128 -m comment --comment \"kubernetes service nodeports; NOTE: this must be \
         the last rule in this chain\" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS"
    );
    assert_eq!(
        rules["filter KUBE-SERVICES"],
        [
            "-d fd00:10:96::42/128 -p tcp -m comment --comment \"ns2/empty:p80 has no endpoints\" \
          -m tcp --dport 80 -j REJECT --reject-with icmp6-port-unreachable"
        ]
    );
    let endpoint = rules
        .iter()
        .find(|(chain, _)| chain.starts_with("nat KUBE-SEP-"));
    let (chain, rules) = endpoint.unwrap();
    let chain = chain.strip_prefix("nat ").unwrap();
    assert_eq!(
        rules[..],
        [
            "-s fd00:10::1/128 -m comment --comment \"ns1/svc1:p80\" -j KUBE-MARK-MASQ".to_owned(),
            format!(
                "-p tcp -m comment --comment \"ns1/svc1:p80\" -m recent --set --name {chain} \
                 --mask ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff --rsource -m tcp \
                 -j DNAT --to-destination [fd00:10::1]:80"
            ),
        ]
    );
}

#[test]
fn a_service_of_one_family_leaves_no_trace_in_the_other() {
    let empty = text(&Snapshot::default(), &options(IpFamily::V6));
    assert_eq!(text(&five_services(), &options(IpFamily::V6)), empty);
}

#[test]
fn invalid_packets_are_dropped_and_counted_where_the_kernel_can() {
    let base = options(IpFamily::V4);
    let forward = |options: &IptablesOptions| {
        let mut all = rules(&Snapshot::default(), options);
        all.remove("filter KUBE-FORWARD").unwrap()
    };
    let last_two = [
        "-m comment --comment \"kubernetes forwarding rules\" -m mark --mark 0x4000/0x4000 \
         -j ACCEPT",
        "-m comment --comment \"kubernetes forwarding conntrack rule\" -m conntrack \
         --ctstate RELATED,ESTABLISHED -j ACCEPT",
    ];
    let counted = "-m conntrack --ctstate INVALID -m nfacct --nfacct-name  \
                   ct_state_invalid_dropped_pkts -j DROP";
    let plain = "-m conntrack --ctstate INVALID -j DROP";
    assert_eq!(forward(&base), [counted, last_two[0], last_two[1]]);
    let without_nfacct = IptablesOptions {
        nfacct: NfacctObjects::default(),
        ..base.clone()
    };
    assert_eq!(forward(&without_nfacct), [plain, last_two[0], last_two[1]]);
    let liberal = IptablesOptions {
        tcp_be_liberal: true,
        ..base
    };
    assert_eq!(forward(&liberal), last_two);
}

#[test]
fn the_masquerade_bit_and_the_random_port_follow_the_settings() {
    let options = IptablesOptions {
        masquerade_bit: 31,
        random_fully: false,
        ..options(IpFamily::V4)
    };
    let rules = rules(&Snapshot::default(), &options);
    assert_eq!(
        rules["nat KUBE-MARK-MASQ"],
        ["-j MARK --set-xmark 0x80000000/0x80000000"]
    );
    assert_eq!(
        rules["nat KUBE-POSTROUTING"],
        [
            "-m mark ! --mark 0x80000000/0x80000000 -j RETURN",
            "-j MARK --set-xmark 0x80000000/0x0",
            "-m comment --comment \"kubernetes service traffic requiring SNAT\" -j MASQUERADE",
        ]
    );
}

#[test]
fn pods_are_told_from_others_by_address_bridge_or_interface_prefix() {
    let snapshot = snapshot([describe("ns1/svc1", "172.30.0.41")
        .tcp("p80", 80)
        .node_port(30080)
        .external_local()
        .endpoints(&["10.180.0.1"])]);
    let cases = [
        (LocalDetector::None, None),
        (
            LocalDetector::Cidr("10.0.0.0/8".parse().unwrap()),
            Some(("-s 10.0.0.0/8", "! -s 10.0.0.0/8 -d 172.30.0.41/32")),
        ),
        (
            LocalDetector::BridgeInterface("cbr0".into()),
            Some(("-i cbr0", "-d 172.30.0.41/32 ! -i cbr0")),
        ),
        (
            LocalDetector::InterfacePrefix("veth".into()),
            Some(("-i veth+", "-d 172.30.0.41/32 ! -i veth+")),
        ),
    ];
    for (local_detector, expected) in cases {
        let options = IptablesOptions {
            local_detector,
            ..options(IpFamily::V4)
        };
        let rules = rules(&snapshot, &options);
        let external = &rules["nat KUBE-EXT-XPGD46QRK7WJZT7O"];
        let cluster = &rules["nat KUBE-SVC-XPGD46QRK7WJZT7O"];
        match expected {
            None => {
                assert_eq!((external.len(), cluster.len()), (2, 1));
            }
            Some((local, not_local)) => {
                assert!(external[0].starts_with(local), "{}", external[0]);
                assert!(cluster[0].starts_with(not_local), "{}", cluster[0]);
            }
        }
    }
}

#[test]
fn a_cidr_that_holds_every_address_needs_no_comparison_and_the_kernel_would_refuse_its_negation() {
    let snapshot = snapshot([describe("ns1/svc1", "172.30.0.41")
        .tcp("p80", 80)
        .node_port(30080)
        .external_local()
        .endpoints(&["10.180.0.1"])]);
    let options = IptablesOptions {
        local_detector: LocalDetector::Cidr("0.0.0.0/0".parse().unwrap()),
        ..options(IpFamily::V4)
    };
    let rules = rules(&snapshot, &options);
    assert_eq!(
        rules["nat KUBE-EXT-XPGD46QRK7WJZT7O"][0],
        "-m comment --comment \"pod traffic for ns1/svc1:p80 external destinations\" \
         -j KUBE-SVC-XPGD46QRK7WJZT7O"
    );
    assert_eq!(rules["nat KUBE-SVC-XPGD46QRK7WJZT7O"].len(), 1);
}

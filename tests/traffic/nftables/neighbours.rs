//! nft and its users beside our table.

use serde_json::json;

use crate::lifecycle::services;
use crate::support::{Service, Testbed};

#[test]
fn nft_lists_named_maps_with_comments_that_name_the_services() {
    let bed = Testbed::with_pods(2);
    bed.apply(&services(&bed));
    let table = bed.listed("ip");
    for words in [
        "table ip portolan {\n\tcomment \"Kubernetes services, layout 1\"",
        "map endpoints {",
        "comment \"front end and slot: endpoint\"",
        "10.233.10.10 . tcp . 80 comment \"default/web:p0\"",
        "0.0.0.0 . tcp . 30080 comment \"default/web:p0\"",
        "10.233.10.11 . tcp . 80 comment \"default/empty:p0\"",
        "10.233.10.10 comment \"default/web\"",
        "10.233.10.10 . tcp . 80 . 2 : 10.233.65.",
    ] {
        assert!(table.contains(words), "no {words:?} in {table}");
    }
    let node = &bed.node.namespace;
    let key = "{ 203.0.113.10 . tcp . 80 }";
    let get = ["get", "element", "ip", "portolan", "external-services", key];
    let element = node.run("nft", &get);
    assert!(element.contains("default/web:p0"), "{element}");
    let quiet = node.output("nft", &["list", "ruleset"]);
    assert_eq!(String::from_utf8_lossy(&quiet.stderr), "");
}

/// nft 1.0.6 does not load what it lists of affinity rules: it has lost the type of a port.
#[test]
fn what_nft_lists_it_loads_again_and_it_is_the_same() {
    let bed = Testbed::with_pods(2);
    bed.apply(&services(&bed));
    let all = bed.node.namespace.run("nft", &["list", "ruleset"]);
    bed.nft(&format!("flush ruleset\n{all}"));
    bed.verb("verify", &services(&bed), &[]).exits(0);
    bed.pod(1)
        .dial("10.233.10.10:80")
        .times(20)
        .assert_only(&["pod-1", "pod-2"]);
}

/// Another nft than the one on the path, for the test below.
const OTHER_NFT: &str = "PORTOLAN_TEST_NFT";

/// Services that bring every object and every rule of the layout into use, in both families.
fn every_form(bed: &Testbed) -> Vec<Service> {
    let all = Service::new("all", "10.233.10.12")
        .dual_stack("fd00:10:233::12")
        .node_port(30082)
        .load_balancer("203.0.113.11")
        .field("externalIPs", json!(["203.0.113.12", "fd00:203:0:113::12"]))
        .field(
            "loadBalancerSourceRanges",
            json!(["192.168.10.0/24", "10.0.0.0/8", "192.168.10.100/32"]),
        )
        .field("externalTrafficPolicy", json!("Local"))
        .sticky(60)
        .to(&bed.pods);
    let addresses = (1..=40).map(|n| format!("10.233.67.{n}")).collect();
    let large = Service::new("large", "10.233.10.13").to_addresses("n1", addresses, 8080);
    let none = Service::new("none", "10.233.10.14").dual_stack("fd00:10:233::14");
    [services(bed), vec![all, large, none]].concat()
}

/// Major and minor version out of `nftables v1.0.6 (Lester Gooch #5)`.
fn version(text: &str) -> (u32, u32) {
    let numbers = text.strip_prefix("nftables v").expect("a version");
    let mut numbers = numbers.split(|c: char| !c.is_ascii_digit());
    let mut number = || {
        numbers
            .next()
            .and_then(|n| n.parse().ok())
            .expect("a number")
    };
    (number(), number())
}

/// From 1.1 on nft also loads what it has listed. That is seen where the nft of the machine, or the
/// one that `PORTOLAN_TEST_NFT` names, is one of these.
#[test]
fn nft_lists_every_form_without_complaint_and_a_current_one_loads_it() {
    let nft = std::env::var(OTHER_NFT).unwrap_or_else(|_| "nft".to_owned());
    let bed = Testbed::with_pods(2);
    bed.apply(&every_form(&bed));
    let node = &bed.node.namespace;
    let quiet = |args: &[&str]| {
        let output = node.output(&nft, args);
        let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            (output.status.code(), &*complaints),
            (Some(0), ""),
            "{nft} {args:?}"
        );
        String::from_utf8(output.stdout).unwrap()
    };
    for options in [&["list", "ruleset"][..], &["-n", "-a", "list", "ruleset"]] {
        assert!(quiet(options).contains("default/all:p0"));
    }
    if version(&quiet(&["--version"])) < (1, 1) {
        return;
    }
    let json: serde_json::Value = serde_json::from_str(&quiet(&["-j", "list", "ruleset"])).unwrap();
    assert!(json["nftables"].is_array());
    let listed = quiet(&["list", "ruleset"]);
    node.run_with_input(&nft, &["-f", "-"], &format!("flush ruleset\n{listed}"));
    assert_eq!(quiet(&["list", "ruleset"]), listed);
    for target in ["10.233.10.10:80", "10.233.10.12:80", "[fd00:10:233::12]:80"] {
        bed.pod(1).dial(target).answer();
    }
}

#[test]
fn what_render_prints_nft_loads_and_it_is_the_same() {
    let bed = Testbed::with_pods(2);
    let mut all = services(&bed);
    all.push(
        Service::new("sticky", "10.233.10.12")
            .sticky(60)
            .to(&bed.pods),
    );
    for services in [&all[..2], &all] {
        // IPv6 rules of affinity are too much for nft 1.0.6 (ADR 0005).
        let text = bed.verb("render", services, &["--family", "ip"]).exits(0);
        bed.nft(&format!("flush ruleset\n{}", text.stdout));
        bed.pod(1).dial("10.233.10.10:80").answer();
        bed.apply(services);
        bed.verb("verify", services, &[]).exits(0);
    }
}

/// The same hooks, priorities and even chain names, in tables of their own.
const OTHERS: &str = "
table ip mine {
	set kept { type ipv4_addr; elements = { 192.0.2.1 }; }
	chain nat-prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		tcp dport 31999 redirect to :9
	}
	chain services {
		ip daddr @kept drop
	}
}
table inet firewall {
	chain forward {
		type filter hook forward priority filter; policy accept;
		ip daddr 198.51.100.7 drop
	}
}
table bridge other { chain a { }; }
";

#[test]
fn tables_of_others_are_left_alone() {
    let bed = Testbed::with_pods(2);
    let node = &bed.node.namespace;
    bed.nft(OTHERS);
    node.run(
        "iptables",
        &["-A", "INPUT", "-p", "tcp", "--dport", "22", "-j", "ACCEPT"],
    );
    let others = || {
        let tables = ["ip mine", "inet firewall", "bridge other", "ip filter"];
        tables.map(|table| node.run("sh", &["-c", &format!("nft list table {table}")]))
    };
    let before = others();
    bed.apply(&services(&bed));
    bed.apply(&services(&bed)[..1]);
    bed.pod(1).dial("10.233.10.10:80").answer();
    assert_eq!(others(), before);
    node.run(crate::support::program::PROGRAM, &["cleanup"]);
    assert_eq!(others(), before);
}

/// As `docs/contract.md` says: before and after is where others may look and decide.
#[test]
fn others_may_drop_and_accept_before_and_after() {
    let bed = Testbed::with_pods(2);
    bed.apply(&services(&bed));
    let dial = |target: &str| bed.outside.dial(target).impatiently().once();
    let web = bed.node.at(30080);
    bed.outside.dial(&web).answer();
    // Before DNAT the destination is the front end, after it the endpoint.
    for (chain, rule) in [
        ("prerouting priority raw", "tcp dport 30080 drop"),
        (
            "prerouting priority dstnat - 5",
            "ip daddr 192.168.10.100 tcp dport 30080 drop",
        ),
        ("forward priority filter", "tcp dport 8080 drop"),
        (
            "forward priority filter",
            "meta l4proto tcp ct original proto-dst 30080 drop",
        ),
    ] {
        bed.nft(&format!(
            "table ip mine {{ chain c {{ type filter hook {chain}; {rule}; }}; }}"
        ));
        assert_eq!(
            dial(&web),
            crate::support::Outcome::TimedOut,
            "{chain} {rule}"
        );
        bed.nft("delete table ip mine");
        bed.outside.dial(&web).answer();
    }
}

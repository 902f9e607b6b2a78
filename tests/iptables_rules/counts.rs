//! How many rules a service costs: the formulas kube-proxy's own tests assert.

use portolan::model::{IpFamily, Snapshot};

use super::cluster::{Described, describe, options, snapshot};
use super::text::rules;

/// Rules in portolan's own chains of `filter` and `nat`.
fn counts(snapshot: &Snapshot) -> (usize, usize) {
    let rules = rules(snapshot, &options(IpFamily::V4));
    let of = |table: &str| {
        rules
            .iter()
            .filter(|(chain, _)| chain.starts_with(&format!("{table} KUBE-")))
            .map(|(_, rules)| rules.len())
            .sum()
    };
    (of("filter"), of("nat"))
}

fn services(number: u8, endpoints: u8, make: impl Fn(u8) -> Described) -> Snapshot {
    let addresses: Vec<String> = (1..=endpoints).map(|i| format!("10.0.0.{i}")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    snapshot((1..=number).map(|i| make(i).endpoints(&addresses)))
}

fn cluster_ip(i: u8) -> Described {
    describe(&format!("ns{i}/svc{i}"), &format!("172.30.0.{i}")).tcp("p80", 80)
}

fn load_balancer(i: u8) -> Described {
    cluster_ip(i)
        .node_port(30000 + u16::from(i))
        .vips(&["1.2.3.4"])
        .external_ips(&["1.2.3.5"])
        .source_ranges(&["203.0.113.0/25"])
}

#[test]
fn without_services_there_are_four_filter_rules_and_five_nat_rules() {
    assert_eq!(counts(&Snapshot::default()), (4, 5));
}

#[test]
fn a_cluster_ip_costs_two_rules_and_three_for_each_endpoint() {
    for number in [0, 1, 10] {
        for endpoints in [0, 1, 2, 10] {
            let (n, e) = (usize::from(number), usize::from(endpoints));
            let expected = if e == 0 {
                (4 + n, 5)
            } else {
                (4, 5 + n * (2 + 3 * e))
            };
            let snapshot = services(number, endpoints, cluster_ip);
            assert_eq!(counts(&snapshot), expected, "{n} services, {e} endpoints");
        }
    }
}

#[test]
fn a_load_balancer_with_every_front_end_costs_ten_nat_rules_and_three_for_each_endpoint() {
    for number in [0, 1, 10] {
        for endpoints in [0, 1, 2, 10] {
            let (n, e) = (usize::from(number), usize::from(endpoints));
            // Localhost node ports are counted by nfacct here: one more rule per node port.
            let expected = if e == 0 {
                (4 + 4 * n, 5)
            } else {
                (4 + n, 5 + n * (10 + 3 * e))
            };
            let snapshot = services(number, endpoints, load_balancer);
            assert_eq!(counts(&snapshot), expected, "{n} services, {e} endpoints");
        }
    }
}

#[test]
fn affinity_costs_one_more_rule_for_each_endpoint_and_policy() {
    let plain = counts(&services(1, 5, cluster_ip)).1;
    let sticky = counts(&services(1, 5, |i| cluster_ip(i).affinity(10800))).1;
    assert_eq!(sticky, plain + 5);
}

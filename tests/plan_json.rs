//! What programs get.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, where a failure is a failed test"
)]

#[path = "plan_support/kernel.rs"]
mod kernel;
#[path = "plan_support/ruleset.rs"]
mod ruleset;

use std::convert::Infallible;

use kernel::Kernel;
use portolan::model::IpFamily;
use portolan::plan::diff::{DesiredState, changes, plan, verify};
use portolan::plan::json;
use portolan::plan::xtables::rule::XtTable;
use ruleset::Rules;
use serde_json::{Value, json};

fn object<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let named = |o: &&Value| o[kind]["name"] == name || o[kind]["chain"] == name;
    objects.iter().find(named).unwrap()
}

#[test]
fn a_ruleset_is_a_list_of_nft_objects() {
    let mut text = String::new();
    json::write(&[&Rules(vec![(1, vec![1, 2])])], &mut text).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let objects = document["nftables"].as_array().unwrap();
    assert_eq!(
        objects[0],
        json!({ "table": { "family": "ip", "name": "filter" } })
    );
    assert_eq!(
        object(objects, "chain", "PREROUTING"),
        &json!({ "chain": {
            "family": "ip", "table": "nat", "name": "PREROUTING",
            "type": "nat", "hook": "prerouting", "prio": -100, "policy": "accept",
        }})
    );
    assert_eq!(
        object(objects, "rule", "KUBE-SVC-0000000000000001"),
        &json!({ "rule": {
            "family": "ip", "table": "nat", "chain": "KUBE-SVC-0000000000000001",
            "iptables": "-m comment --comment \"ns/s1:web -> 10.1.0.1:8080\" -m statistic \
                         --mode random --probability 0.50000000000 -j KUBE-SEP-0000000100000001",
            "matches": [
                { "comment": "ns/s1:web -> 10.1.0.1:8080" },
                { "probability": 0.5 },
            ],
            "target": { "jump": "KUBE-SEP-0000000100000001" },
        }})
    );
}

#[test]
fn differences_name_services_chains_and_rules() {
    let mut kernel = Kernel::default();
    kernel.apply(&Rules(vec![(1, vec![1])]));
    let desired = Rules(vec![(1, vec![1]), (2, vec![])]);
    let plan = plan(&DesiredState::of(&desired), &kernel.present(IpFamily::V4));
    let mut fetch = |t: XtTable, c: &str| Ok::<_, Infallible>(kernel.fetch(t, c));
    let rule = "-A KUBE-SERVICES -d 10.233.0.2/32 -p tcp -m comment --comment \
                \"ns/s2:web cluster IP\" -m tcp --dport 80 -j REJECT \
                --reject-with icmp-port-unreachable";
    let changes = changes(&plan, &desired, &mut fetch).unwrap();
    assert_eq!(
        serde_json::to_value(json::changes(&changes)).unwrap(),
        json!({
            "family": "ip",
            "services": [{ "name": "ns/s2:web", "change": "added" }],
            "chains": [{
                "table": "filter", "name": "KUBE-SERVICES", "change": "changed",
                "rules": [{ "change": "added", "text": rule, "service": "ns/s2:web" }],
            }],
        })
    );
    let deviations = verify(&plan, &desired, &mut fetch).unwrap();
    assert_eq!(
        serde_json::to_value(json::deviation(&deviations[0])).unwrap(),
        json!({
            "family": "ip", "table": "filter", "chain": "KUBE-SERVICES",
            "deviation": "missing-rule", "position": 1, "expected": rule,
        })
    );
}

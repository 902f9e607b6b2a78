//! What `diff` and `apply` say of a change: service by service.

use serde_json::Value;

use crate::lifecycle::services;
use crate::support::{Service, Testbed};

fn changed(bed: &Testbed) -> Vec<Service> {
    vec![
        Service::new("web", "10.233.10.10")
            .load_balancer("203.0.113.10")
            .node_port(30080)
            .to(&bed.pods[..1]),
        Service::new("new", "10.233.10.13").to(&bed.pods[..1]),
    ]
}

#[test]
fn the_difference_is_told_service_by_service() {
    let bed = Testbed::with_pods(2);
    bed.apply(&services(&bed));
    let diff = bed.verb("diff", &changed(&bed), &[]).exits(3).stdout;
    assert!(
        diff.contains("--- table ip portolan\n+++ table ip portolan\n"),
        "{diff}"
    );
    let of = |service: &str| {
        let head = format!("@@ {service} @@\n");
        let rest = diff
            .split_once(&head)
            .unwrap_or_else(|| panic!("no {head} in {diff}"))
            .1;
        rest.split("@@").next().unwrap().to_owned()
    };
    let new = of("default/new:p0");
    assert!(
        new.contains("+endpoints: 10.233.10.13 . tcp . 80 . 1 : 10.233.65.1 . 8080\n"),
        "{new}"
    );
    assert!(!new.contains("\n-"), "{new}");
    let empty = of("default/empty:p0");
    assert!(
        empty.starts_with("-no-endpoints: 10.233.10.11 . tcp . 80"),
        "{empty}"
    );
    let web = of("default/web:p0");
    assert!(
        web.contains("-endpoints: 0.0.0.0 . tcp . 30080 . 2 : 10.233.65.1 . 8080\n"),
        "{web}"
    );
    assert!(
        web.contains("+endpoints: 0.0.0.0 . tcp . 30080 . 1 : 10.233.65.1 . 8080\n"),
        "{web}"
    );
    assert!(!web.contains("external-services"), "{web}");
}

#[test]
fn programs_read_the_same_as_json() {
    let bed = Testbed::with_pods(2);
    bed.apply(&services(&bed));
    let diff = bed.verb("diff", &changed(&bed), &["-o", "json"]).exits(3);
    let families: Value = serde_json::from_str(&diff.stdout).unwrap();
    let ip = &families[0];
    assert_eq!(ip["family"], "ip");
    assert_eq!(ip["table"], "portolan");
    let of = |list: &str, key: &str, name: &str| {
        let entries = ip[list].as_array().unwrap().clone();
        let mut found = entries.into_iter().filter(|entry| entry[key] == name);
        found
            .next()
            .unwrap_or_else(|| panic!("no {name} in {ip:#}"))
    };
    assert_eq!(of("services", "name", "default/new:p0")["change"], "added");
    assert_eq!(
        of("services", "name", "default/web:p0")["change"],
        "changed"
    );
    assert_eq!(
        of("services", "name", "default/empty:p0")["change"],
        "deleted"
    );
    let new = of("elements", "service", "default/new:p0");
    assert!(!new["added"].as_array().unwrap().is_empty(), "{new:#}");
    assert!(new["deleted"].as_array().unwrap().is_empty(), "{new:#}");
}

#[test]
fn names_alone_can_be_had() {
    let bed = Testbed::with_pods(2);
    bed.apply(&services(&bed));
    let diff = bed.verb("diff", &changed(&bed), &["-o", "name"]).exits(3);
    for line in ["+ default/new:p0", "~ default/web:p0", "- default/empty:p0"] {
        assert!(diff.stdout.contains(line), "{}", diff.stdout);
    }
}

/// A changed endpoint is a handful of messages, whatever else is there.
#[test]
fn a_small_change_takes_few_messages() {
    let bed = Testbed::with_pods(2);
    let others = (1..=50)
        .map(|n| Service::new(&format!("other-{n}"), &format!("10.233.11.{n}")).to(&bed.pods));
    let mut all: Vec<_> = others.collect();
    all.push(Service::new("web", "10.233.10.10").to(&bed.pods[..1]));
    bed.apply(&all);
    all.pop();
    all.push(Service::new("web", "10.233.10.10").to(&bed.pods[1..2]));
    let run = bed.apply(&all);
    let (_, rest) = run.stdout.split_once("applied in 1 transaction: ").unwrap();
    let messages: u32 = rest.split(' ').next().unwrap().parse().unwrap();
    assert!(messages <= 6, "{}", run.stdout);
}

//! A load balancer without a balancer: one node answers for its address on the nodes' network.

use std::time::{Duration, Instant};

use crate::bench::{NODES, TestLab, example, text};

const POOL: &str = "192.168.10.240-192.168.10.249";

/// The node whose Ethernet address the client has for an address.
fn owner(lab: &TestLab, vip: &str) -> String {
    let mac = |text: &str, before: &str| {
        let rest = text.split(before).nth(1)?;
        Some(rest.split_whitespace().next()?.to_owned())
    };
    let neighbour = lab.output("client", &["ip", "neigh", "show", vip]);
    let wanted = mac(&neighbour, "lladdr ").expect(&neighbour);
    let names = (1..=NODES.len()).map(|number| format!("n{number}"));
    let mut owners = names.filter(|name| {
        let links = lab.output(name, &["ip", "link", "show"]);
        links.contains(&wanted)
    });
    owners.next().expect("a node")
}

#[test]
fn without_haproxy_a_node_answers_for_the_address_of_a_load_balancer_and_another_when_it_fails() {
    let (service, pods) = (example("loadbalancer.yml"), example("mydeploy.yml"));
    let lab = TestLab::up_with(&["--lb-pool", POOL, "-f", &service, &pods]);
    let addresses = text(&lab.service("myloadbalance")["address"]);
    let vip = addresses.split(',').nth(1).expect(&addresses).to_owned();
    let url = format!("http://{vip}");
    let reached = || lab.try_curl("client", &url, 1).failed == 0;
    TestLab::eventually("a node answers", &reached);
    let spread = lab.try_curl("client", &url, 300);
    // On a busy machine a node may start so much later than the others that one of them has its part
    // by then: connections that are under way when it takes it over are lost, once.
    let spread = match spread.failed {
        0 => spread,
        _ => lab.curl("client", &url, 300),
    };
    spread.assert_even_over(&lab.web());
    let first = owner(&lab, &vip);
    let pods_before = lab.web().len();
    lab.run("fail", &[&first]).exits(0);
    let failed = Instant::now();
    TestLab::eventually("another answers", &reached);
    let took = failed.elapsed();
    assert!(took < Duration::from_secs(20), "{took:?}");
    TestLab::eventually("pods are back", || lab.web().len() == pods_before);
    assert_ne!(owner(&lab, &vip), first);
    lab.curl("client", &url, 60);
}

//! The course, example by example: one test for each line of the table in docs/course.md.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::bench::{NODES, TestLab, sorted_lines, text};

/// Enough that a pod with half its share would be noticed.
const MANY: u32 = 300;

fn is_within(address: &str, network: &str) -> bool {
    let address: Ipv4Addr = address.parse().unwrap_or_else(|_| panic!("{address}"));
    network.parse::<Ipv4Net>().unwrap().contains(&address)
}

#[test]
fn services_and_pods_have_addresses_out_of_the_ranges_of_the_course() {
    let lab = TestLab::up();
    let status = lab.status();
    let services = status["services"].as_array().unwrap();
    for service in services {
        let address = text(&service["address"]);
        if service["type"] != "ExternalName" && address != "None" {
            assert!(is_within(&address, "10.233.0.0/18"), "{service}");
        }
    }
    let pods = status["pods"].as_array().unwrap();
    assert_eq!(pods.len(), 6, "three of mydp, three of cassandra");
    for pod in pods {
        let number: u8 = text(&pod["node"])[1..].parse().unwrap();
        let network = format!("10.233.{}.0/24", 63 + number);
        assert!(is_within(&text(&pod["address"]), &network), "{pod}");
    }
    let addresses = status["nodes"].as_array().unwrap().iter();
    let addresses: Vec<String> = addresses.map(|node| text(&node["address"])).collect();
    assert_eq!(addresses, NODES);
}

#[test]
fn an_allocated_cluster_ip_leads_to_pods_on_all_nodes_and_only_from_inside() {
    let lab = TestLab::with_examples(&["cluster.yml", "mydeploy.yml"]);
    let address = text(&lab.service("mycluster")["address"]);
    let web = lab.web();
    assert_eq!(web.len(), 3);
    let url = format!("http://{address}");
    lab.curl("deploy/mydp", &url, MANY).assert_even_over(&web);
    lab.curl("n3", &url, 30);
    lab.assert_unreachable("client", &url);
}

#[test]
fn a_fixed_cluster_ip_is_the_one_that_was_asked_for() {
    let lab = TestLab::with_examples(&["clusterip.yml", "mydeploy.yml"]);
    let service = lab.service("myclusterip");
    assert_eq!(service["address"], "10.233.10.10");
    assert_eq!(service["readyEndpoints"], 3);
    let spread = lab.curl("deploy/mydp", "http://10.233.10.10", MANY);
    spread.assert_even_over(&lab.web());
    // By its name too, as the pods' resolver completes it.
    lab.curl("deploy/mydp", "http://myclusterip", 3);
}

#[test]
fn a_selector_that_agrees_with_no_label_connects_nothing() {
    let service = std::fs::read_to_string(crate::bench::example("clusterip.yml")).unwrap();
    let service = service.replace("app: webui", "app: web");
    let pods = std::fs::read_to_string(crate::bench::example("mydeploy.yml")).unwrap();
    let lab = TestLab::with_manifests(&format!("{service}\n---\n{pods}"));
    assert_eq!(lab.service("myclusterip")["readyEndpoints"], 0);
    lab.assert_unreachable("deploy/mydp", "http://10.233.10.10");
}

#[test]
fn a_node_port_answers_an_outside_user_on_every_node() {
    let lab = TestLab::with_examples(&["mynodeport.yml", "mydeploy.yml"]);
    let web = lab.web();
    for node in NODES {
        let url = format!("http://{node}:30080");
        lab.curl("client", &url, MANY).assert_even_over(&web);
    }
}

#[test]
fn a_load_balancer_has_a_cluster_ip_and_a_node_port_too() {
    let lab = TestLab::with_examples(&["loadbalancer.yml", "mydeploy.yml"]);
    let service = lab.service("myloadbalance");
    assert_eq!(service["type"], "LoadBalancer");
    assert_eq!(service["ports"], "80:32000/TCP");
    let web = lab.web();
    let inside = lab.curl("deploy/mydp", "http://10.233.10.100", MANY);
    inside.assert_even_over(&web);
    for node in NODES {
        let url = format!("http://{node}:32000");
        lab.curl("balancer", &url, 60).assert_only(&web);
    }
}

#[test]
fn a_headless_service_is_the_addresses_of_its_pods() {
    let lab = TestLab::with_examples(&["myhead.yml", "mydeploy.yml"]);
    assert_eq!(lab.service("myhead")["address"], "None");
    let name = "myhead.default.svc.cluster.local";
    let status = lab.status();
    let pods = status["pods"].as_array().unwrap().iter();
    let mut pods: Vec<String> = pods.map(|pod| text(&pod["address"])).collect();
    pods.sort();
    let dug = lab.output("deploy/mydp", &["dig", "+short", name]);
    assert_eq!(sorted_lines(&dug), pods);
    let looked_up = lab.output("deploy/mydp", &["nslookup", name]);
    for address in &pods {
        assert!(
            looked_up.contains(&format!("Address: {address}")),
            "{looked_up}"
        );
    }
    // No balancing and no rules: the client takes one of the addresses.
    lab.curl("deploy/mydp", "http://myhead", 3);
}

#[test]
fn every_pod_of_a_stateful_set_has_a_name_of_its_own() {
    let lab = TestLab::with_examples(&["cassandra.yml"]);
    let pods = lab.pods_of("StatefulSet default/cassandra");
    let names: Vec<&str> = pods.iter().map(|(pod, _)| pod.as_str()).collect();
    assert_eq!(names, ["cassandra-0", "cassandra-1", "cassandra-2"]);
    let status = lab.status();
    for pod in status["pods"].as_array().unwrap() {
        let name = format!("{}.cassandra.default.svc.cluster.local", text(&pod["name"]));
        let dug = lab.output("cassandra-0", &["dig", "+short", &name]);
        assert_eq!(dug.trim(), text(&pod["address"]), "{name}");
        // The members find each other by these names.
        let url = format!("http://{}.cassandra:9042", text(&pod["name"]));
        let answer = lab.curl("cassandra-2", &url, 1);
        assert!(answer.last.starts_with(&text(&pod["name"])), "{answer:?}");
    }
    assert_eq!(
        lab.output("cassandra-1", &["hostname"]).trim(),
        "cassandra-1"
    );
}

#[test]
fn an_external_name_is_an_alias_that_a_pod_can_dig_and_ping() {
    let examples = ["external-db.yml", "mydeploy.yml"];
    let alias = "apiVersion: v1\nkind: Service\nmetadata: {name: myex}\n\
                 spec: {type: ExternalName, externalName: www.google.com}\n";
    let text_of = |name: &str| std::fs::read_to_string(crate::bench::example(name)).unwrap();
    let texts = examples.map(text_of);
    let lab = TestLab::with_manifests(&format!("{}\n---\n{}\n---\n{alias}", texts[0], texts[1]));
    let cases = [
        ("external-db", "db.external.com."),
        ("myex", "www.google.com."),
    ];
    for (service, outside) in cases {
        let name = format!("{service}.default.svc.cluster.local");
        let dug = lab.output("deploy/mydp", &["dig", "+short", &name]);
        let mut lines = dug.lines();
        assert_eq!(lines.next(), Some(outside));
        let address = lines.next().unwrap_or_else(|| panic!("{dug}"));
        // The lab's own world, not the real one.
        assert!(is_within(address, "198.51.100.0/24"), "{dug}");
        let ping = ["ping", "-c", "2", "-i", "0.2", "-W", "10", service];
        let pinged = lab.output("deploy/mydp", &ping);
        assert!(pinged.contains(&format!("({address})")), "{pinged}");
        assert!(pinged.contains(" 0% packet loss"), "{pinged}");
    }
    let page = lab.curl("deploy/mydp", "http://myex", 1);
    assert!(
        page.last.starts_with("the world outside sees 10.233."),
        "{page:?}"
    );
}

/// The table names tests; a line whose test is gone would promise what nobody checks.
#[test]
fn every_line_of_the_table_of_the_course_has_its_test() {
    let page = include_str!("../../docs/course.md");
    let own = std::env::current_exe().unwrap();
    let listed = crate::bench::here(own.to_str().unwrap(), &["--list"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    let tests: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test")?.rsplit("::").next())
        .collect();
    let lines = page.lines().filter(|line| line.starts_with("| "));
    let named: Vec<&str> = lines
        .filter_map(|line| {
            let cell = line.trim_end_matches('|').rsplit('|').next()?.trim();
            cell.strip_prefix('`')?.strip_suffix('`')
        })
        .collect();
    assert!(named.len() > 10, "{named:?}");
    for name in named {
        let there = match name.split_once("`: `") {
            Some((file, name)) => has_test(file, name),
            None => tests.contains(&name),
        };
        assert!(
            there,
            "docs/course.md names {name}, and there is no such test"
        );
    }
}

/// Another file of tests, or its directory, has a test of this name.
fn has_test(file: &str, name: &str) -> bool {
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests");
    let parts = std::fs::read_dir(format!("{tests}/{file}"));
    let parts = parts.into_iter().flatten().map(|part| part.unwrap().path());
    let mut files = parts.chain([format!("{tests}/{file}.rs").into()]);
    let test = format!("#[test]\nfn {name}() {{");
    files.any(|file| std::fs::read_to_string(file).unwrap().contains(&test))
}

//! Pods come and go: scaling, readiness, termination, nodes that fail.

use crate::bench::{NODES, TestLab, sorted_lines, text};

const WEB: &str = "Deployment default/mydp";

fn url() -> String {
    format!("http://{}:30080", NODES[0])
}

fn lab() -> TestLab {
    TestLab::with_examples(&["mynodeport.yml", "mydeploy.yml", "cassandra.yml"])
}

#[test]
fn scaling_brings_new_pods_into_service_and_takes_old_ones_out() {
    let lab = lab();
    lab.run("scale", &["deploy/mydp", "5"]).exits(0);
    let web = lab.web();
    assert_eq!(web.len(), 5);
    lab.curl("client", &url(), 300).assert_even_over(&web);
    lab.run("scale", &["deploy/mydp", "1"]).exits(0);
    let web = lab.web();
    assert_eq!(web.len(), 1);
    lab.curl("client", &url(), 30).assert_only(&web);
    lab.run("scale", &["sts/cassandra", "4"]).exits(0);
    let names = lab.output(
        "cassandra-3",
        &["dig", "+short", "cassandra.default.svc.cluster.local"],
    );
    assert_eq!(sorted_lines(&names).len(), 4, "{names}");
    lab.run("scale", &["deploy/mydp", "0"]).exits(0);
    lab.assert_unreachable("client", &url());
}

#[test]
fn a_scaled_deployment_loses_no_connection_on_the_way_down() {
    let lab = lab();
    lab.run("scale", &["deploy/mydp", "6"]).exits(0);
    std::thread::scope(|scope| {
        let spread = scope.spawn(|| lab.curl("client", &url(), 600));
        lab.run("scale", &["deploy/mydp", "2"]).exits(0);
        spread.join().unwrap();
    });
}

#[test]
fn a_pod_that_is_not_ready_stays_and_gets_no_connections() {
    let lab = lab();
    let pods = lab.pods_of(WEB);
    let (pod, node) = &pods[0];
    lab.run("pod", &["unready", pod]).exits(0);
    let spread = lab.curl("client", &url(), 60);
    assert!(
        !spread.answers.contains_key(&format!("{pod} on {node}")),
        "{spread:?}"
    );
    assert_eq!(lab.pods_of(WEB), pods);
    lab.run("pod", &["ready", pod]).exits(0);
    lab.curl("client", &url(), 300).assert_even_over(&lab.web());
}

#[test]
fn a_terminating_pod_answers_until_it_is_deleted_if_it_is_the_last() {
    let lab = TestLab::with_examples(&["clusterip.yml", "cassandra.yml", "mydeploy.yml"]);
    lab.run("scale", &["deploy/mydp", "1"]).exits(0);
    let (pod, _) = lab.pods_of(WEB).remove(0);
    lab.run("pod", &["terminate", &pod]).exits(0);
    // A Deployment has another at once, and that one alone gets new connections.
    let pods = lab.pods_of(WEB);
    assert_eq!(pods.len(), 2);
    let spread = lab.curl("cassandra-0", "http://10.233.10.10", 30);
    assert_eq!(spread.answers.len(), 1, "{spread:?}");
    assert!(!spread.last.starts_with(&pod), "{spread:?}");
    // Without another that is ready, the terminating one is better than none.
    let other = &pods.iter().find(|(name, _)| *name != pod).unwrap().0;
    lab.run("pod", &["unready", other]).exits(0);
    let spread = lab.curl("cassandra-0", "http://10.233.10.10", 30);
    assert!(spread.last.starts_with(&pod), "{spread:?}");
    lab.run("pod", &["delete", &pod]).exits(0);
    lab.assert_unreachable("cassandra-0", "http://10.233.10.10");
    lab.run("pod", &["ready", other]).exits(0);
    lab.curl("cassandra-0", "http://10.233.10.10", 3);
}

#[test]
fn a_failed_node_is_survived_and_comes_back() {
    let lab = lab();
    lab.run("fail", &["n2"]).exits(0);
    let web = lab.pods_of(WEB);
    assert_eq!(web.len(), 3);
    assert!(web.iter().all(|(_, node)| node != "n2"), "{web:?}");
    lab.curl("client", &url(), 300).assert_even_over(&lab.web());
    lab.assert_unreachable("client", &format!("http://{}:30080", NODES[1]));
    // A member of a set keeps its name, and is found at its new address.
    let name = "cassandra-1.cassandra.default.svc.cluster.local";
    let dug = lab.output("cassandra-0", &["dig", "+short", name]);
    let status = lab.status();
    let pods = status["pods"].as_array().unwrap();
    let moved = pods
        .iter()
        .find(|pod| pod["name"] == "cassandra-1")
        .unwrap();
    assert_ne!(moved["node"], "n2");
    assert_eq!(dug.trim(), text(&moved["address"]));
    lab.run("heal", &[]).exits(0);
    let back = format!("http://{}:30080", NODES[1]);
    lab.curl("client", &back, 300).assert_even_over(&lab.web());
    lab.run("fail", &["n9"]).exits(2);
}

#[test]
fn an_agent_and_a_pod_that_were_killed_are_brought_back_by_heal() {
    let lab = lab();
    let (pod, _) = lab.pods_of(WEB).remove(0);
    for target in ["n1", pod.as_str()] {
        // Everything in the namespace but the shell itself.
        let kill = "for p in $(ip netns pids \"$0\"); do [ $p = $$ ] || kill -9 $p 2>/dev/null; done; true";
        let status = lab.status();
        let prefix = text(&status["netnsPrefix"]);
        let space = match target {
            "n1" => format!("{prefix}n1"),
            pod => format!("{prefix}pod.default.{pod}"),
        };
        lab.output("client", &["sh", "-c", kill, &space]);
    }
    TestLab::eventually("the agent is seen to be dead", || {
        lab.status()["nodes"][0]["agentRuns"] == false
    });
    lab.run("heal", &[]).exits(0);
    let status = lab.status();
    assert_eq!(status["nodes"][0]["agentRuns"], true);
    let pods = status["pods"].as_array().unwrap();
    assert!(pods.iter().all(|pod| pod["runs"] == true), "{pods:?}");
    lab.curl("client", &url(), 60).assert_only(&lab.web());
}

#[test]
fn a_daemon_set_runs_on_every_node_and_a_pod_where_it_says() {
    let lab = TestLab::with_manifests(
        "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: agent}\nspec:\n  \
         selector: {matchLabels: {app: agent}}\n  template:\n    metadata: {labels: {app: agent}}\n    \
         spec: {containers: [{name: c, ports: [{containerPort: 53, protocol: UDP}]}]}\n---\n\
         apiVersion: v1\nkind: Pod\nmetadata: {name: single, namespace: prod}\n\
         spec: {nodeName: n2, containers: [{name: c, ports: [{containerPort: 8080}]}]}\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {name: agent}\n\
         spec: {clusterIP: 10.233.7.7, selector: {app: agent}, internalTrafficPolicy: Local,\n       \
         ports: [{port: 53, protocol: UDP}]}\n",
    );
    let agents = lab.pods_of("DaemonSet default/agent");
    let nodes: Vec<&str> = agents.iter().map(|(_, node)| node.as_str()).collect();
    assert_eq!(nodes, ["n1", "n2", "n3"]);
    assert_eq!(
        lab.pods_of("Pod prod/single"),
        [("single".to_owned(), "n2".to_owned())]
    );
    // Over UDP, and with the Local policy to the pod of the own node alone.
    let ask = "exec 3<>/dev/udp/10.233.7.7/53; echo hello >&3; timeout 10 head -n 1 <&3";
    for _ in 0..5 {
        let answer = lab.output("prod/single", &["bash", "-c", ask]);
        assert!(answer.contains(" on n2 sees 10.233.65."), "{answer}");
    }
}

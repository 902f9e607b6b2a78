use super::*;
use crate::lab::plan;
use crate::model::NamespacedName;

fn workload(kind: WorkloadKind, name: &str, replicas: u32) -> Workload {
    let name = NamespacedName::new("default", name);
    Workload {
        kind,
        name: name.clone(),
        replicas,
        service_name: (kind == WorkloadKind::StatefulSet).then(|| "db".into()),
        template: Pod {
            name,
            labels: BTreeMap::new(),
            ips: Vec::new(),
            node_name: None,
            hostname: None,
            subdomain: None,
            ready: true,
            terminating: false,
            finished: false,
            ports: Vec::new(),
        },
    }
}

fn lab(nodes: u8) -> State {
    let node = |number| NodeState {
        name: plan::node_name(number),
        number,
        address: plan::node_address(number),
        failed: false,
        last_pod: 1,
        agent: None,
    };
    State {
        nodes: (1..=nodes).map(node).collect(),
        ..State::default()
    }
}

/// Does what is to be done.
fn settle(state: &mut State, workloads: &[Workload]) -> Changes {
    let changes = changes(workloads, state);
    for at in changes.remove.iter().rev() {
        state.pods.remove(*at);
    }
    for new in &changes.add {
        state.serial = new.serial;
        state.pods.push(PodState {
            namespace: "default".to_owned(),
            name: new.name.clone(),
            owner: new.owner.clone(),
            serial: new.serial,
            node: new.node.clone(),
            address: plan::CLIENT,
            ready: true,
            terminating: false,
            labels: BTreeMap::new(),
            hostname: new.hostname.clone(),
            subdomain: new.subdomain.clone(),
            ports: Vec::new(),
            tcp: Vec::new(),
            udp: Vec::new(),
            process: None,
        });
    }
    let nothing = super::changes(workloads, state);
    assert_eq!(
        (nothing.remove, nothing.add),
        (vec![], vec![]),
        "not settled"
    );
    changes
}

fn places(state: &State) -> Vec<(&str, &str)> {
    let pods = state.pods.iter();
    pods.map(|pod| (pod.name.as_str(), pod.node.as_str()))
        .collect()
}

fn nodes(state: &State) -> Vec<&str> {
    state.pods.iter().map(|pod| pod.node.as_str()).collect()
}

#[test]
fn a_deployment_is_spread_over_the_nodes_and_names_look_random() {
    let mut state = lab(3);
    settle(&mut state, &[workload(WorkloadKind::Deployment, "web", 4)]);
    assert_eq!(nodes(&state), ["n1", "n2", "n3", "n1"]);
    let mut names: Vec<_> = state.pods.iter().map(|pod| pod.name.clone()).collect();
    names.dedup();
    assert_eq!(names.len(), 4);
    assert!(names.iter().all(|name| name.len() == "web-xxxxx".len()));
}

#[test]
fn scaling_down_takes_those_that_are_not_ready_and_then_the_newest() {
    let mut state = lab(2);
    let web = [workload(WorkloadKind::Deployment, "web", 4)];
    settle(&mut state, &web);
    state.pods[0].ready = false;
    let kept = state.pods[1].name.clone();
    state
        .replicas
        .insert("Deployment default/web".to_owned(), 1);
    settle(&mut state, &web);
    assert_eq!(places(&state), [(kept.as_str(), "n2")]);
}

#[test]
fn a_stateful_set_has_ordered_names_and_keeps_them_on_another_node() {
    let mut state = lab(3);
    let db = [workload(WorkloadKind::StatefulSet, "db", 3)];
    settle(&mut state, &db);
    assert_eq!(
        places(&state),
        [("db-0", "n1"), ("db-1", "n2"), ("db-2", "n3")]
    );
    assert_eq!(state.pods[1].hostname.as_deref(), Some("db-1"));
    assert_eq!(state.pods[1].subdomain.as_deref(), Some("db"));
    state.nodes[1].failed = true;
    settle(&mut state, &db);
    assert_eq!(
        places(&state),
        [("db-0", "n1"), ("db-2", "n3"), ("db-1", "n1")]
    );
}

#[test]
fn a_terminating_pod_of_a_deployment_is_replaced_and_one_of_a_stateful_set_keeps_its_name() {
    let mut state = lab(1);
    let both = [
        workload(WorkloadKind::Deployment, "web", 1),
        workload(WorkloadKind::StatefulSet, "db", 1),
    ];
    settle(&mut state, &both);
    state.pods[0].terminating = true;
    state.pods[1].terminating = true;
    settle(&mut state, &both);
    assert_eq!(state.pods.len(), 3, "{:?}", places(&state));
}

#[test]
fn a_daemon_set_has_one_pod_on_each_node_that_works() {
    let mut state = lab(3);
    let set = [workload(WorkloadKind::DaemonSet, "log", 1)];
    settle(&mut state, &set);
    assert_eq!(nodes(&state), ["n1", "n2", "n3"]);
    state.nodes[2].failed = true;
    settle(&mut state, &set);
    assert_eq!(nodes(&state), ["n1", "n2"]);
    state.nodes[2].failed = false;
    settle(&mut state, &set);
    assert_eq!(nodes(&state), ["n1", "n2", "n3"]);
}

#[test]
fn a_pod_that_names_its_node_waits_for_it() {
    let mut state = lab(2);
    let mut pod = workload(WorkloadKind::Pod, "one", 1);
    pod.template.node_name = Some("n2".into());
    state.nodes[1].failed = true;
    let waiting = settle(&mut state, &[pod.clone()]);
    assert_eq!(
        waiting.pending,
        ["Pod default/one is pending: node n2 has failed"]
    );
    state.nodes[1].failed = false;
    settle(&mut state, &[pod.clone()]);
    assert_eq!(places(&state), [("one", "n2")]);
    pod.template.node_name = Some("n9".into());
    let lost = changes(&[pod], &lab(1));
    assert_eq!(
        lost.pending,
        ["Pod default/one is pending: the lab has no node n9"]
    );
}

#[test]
fn pods_whose_owner_is_gone_go_too() {
    let mut state = lab(1);
    settle(&mut state, &[workload(WorkloadKind::Deployment, "web", 2)]);
    settle(&mut state, &[]);
    assert!(state.pods.is_empty());
}

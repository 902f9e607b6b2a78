use super::super::{HaproxyOptions, ServiceName, balancer};
use super::*;
use crate::model::{
    IpFamily, NamespacedName, Node, Protocol, Service, ServicePort, ServiceType, Snapshot,
    TargetPort, TrafficPolicy,
};

fn options() -> HaproxyOptions {
    HaproxyOptions {
        services: Vec::new(),
        nodes: Vec::new(),
        http: Some(Vec::new()),
        binds: Vec::new(),
        check_interval: Duration::from_secs(1),
    }
}

fn web(name: &str, node_port: u16) -> Service {
    Service {
        service_type: ServiceType::LoadBalancer,
        cluster_ips: vec!["10.233.10.100".parse().unwrap()],
        ip_families: vec![IpFamily::V4],
        ports: vec![ServicePort {
            name: "".into(),
            protocol: Protocol::Tcp,
            port: 80,
            target_port: TargetPort::Number(80),
            node_port: Some(node_port),
        }],
        ..Service::new(NamespacedName::new("default", name))
    }
}

fn snapshot(services: Vec<Service>) -> Snapshot {
    let node = |name: &str, host: u8| Node {
        name: name.into(),
        addresses: vec![
            format!("192.168.10.{host}").parse().unwrap(),
            format!("fd00:192:168:10::{host}").parse().unwrap(),
        ],
        ..Node::default()
    };
    let nodes = [node("n1", 100), node("n2", 150), node("n3", 200)];
    Snapshot {
        services: services.into_iter().map(|s| (s.name.clone(), s)).collect(),
        nodes: nodes.into_iter().map(|n| (n.name.clone(), n)).collect(),
        ..Snapshot::default()
    }
}

fn written(services: Vec<Service>, options: &HaproxyOptions) -> Result<String, String> {
    let made = balancer(&snapshot(services), options).map_err(|error| error.to_string())?;
    Ok(text(&made, options.check_interval))
}

#[test]
fn the_course_has_its_frontend_and_its_three_servers() {
    let mut options = options();
    let node = |name: &str, host: u8| {
        let address = format!("192.168.10.{host}").parse().unwrap();
        (name.into(), address)
    };
    options.nodes = vec![node("app1", 100), node("app2", 150), node("app3", 200)];
    insta::assert_snapshot!(written(vec![web("myloadbalance", 32000)], &options).unwrap());
}

#[test]
fn policy_local_is_checked_where_nodes_say_whether_they_have_endpoints() {
    let mut local = web("web", 32000);
    local.external_traffic_policy = TrafficPolicy::Local;
    local.health_check_node_port = Some(32100);
    let text = written(vec![local], &options()).unwrap();
    assert!(text.contains("option httpchk GET /healthz"), "{text}");
    assert!(
        text.contains("server n2 192.168.10.150:32000 check port 32100\n"),
        "{text}"
    );
}

#[test]
fn a_service_of_both_families_is_listened_for_at_both() {
    let mut both = web("web", 32000);
    both.cluster_ips.push("fd00:10:233::1".parse().unwrap());
    both.ip_families.push(IpFamily::V6);
    let text = written(vec![both], &options()).unwrap();
    assert!(
        text.contains("    bind *:80\n    bind :::80 v6only\n"),
        "{text}"
    );

    let mut six = web("web", 32000);
    six.cluster_ips = vec!["fd00:10:233::1".parse().unwrap()];
    six.ip_families = vec![IpFamily::V6];
    let text = written(vec![six], &options()).unwrap();
    assert!(
        text.contains("server n1 [fd00:192:168:10::100]:32000 check\n"),
        "{text}"
    );
}

#[test]
fn two_services_cannot_have_one_port_of_all_addresses() {
    let services = || vec![web("one", 32000), web("two", 32001)];
    let error = written(services(), &options()).unwrap_err();
    assert!(
        error.contains("default/two and default/one both want port 80"),
        "{error}"
    );
    let mut apart = options();
    apart.binds = vec![
        (
            ServiceName::parse("one"),
            "192.0.2.1".parse().unwrap(),
            None,
        ),
        (
            ServiceName::parse("default/two"),
            "192.0.2.1".parse().unwrap(),
            Some(8080),
        ),
    ];
    let text = written(services(), &apart).unwrap();
    assert!(text.contains("bind 192.0.2.1:80\n"), "{text}");
    assert!(text.contains("bind 192.0.2.1:8080\n"), "{text}");
}

#[test]
fn every_mistake_is_named_at_once() {
    let mut wrong = options();
    wrong.services = vec![ServiceName::parse("nowhere")];
    wrong.http = Some(vec![ServiceName::parse("other/web")]);
    let mut snapshot = snapshot(vec![web("web", 32000)]);
    snapshot.nodes.clear();
    let error = balancer(&snapshot, &wrong).unwrap_err();
    assert_eq!(error.0.len(), 3, "{error}");
}

#[test]
fn datagrams_and_ports_that_nodes_do_not_have_are_left_out_with_a_note() {
    let mut udp = web("dns", 32000);
    udp.ports[0].protocol = Protocol::Udp;
    let mut bare = web("bare", 32001);
    bare.ports[0].node_port = None;
    let text = written(vec![udp, bare, web("web", 32002)], &options()).unwrap();
    assert!(
        text.contains("# default/dns: HAProxy does not balance UDP\n"),
        "{text}"
    );
    assert!(
        text.contains("# default/bare: has no node port\n"),
        "{text}"
    );
    assert_eq!(text.matches("\nbackend ").count(), 1);
}

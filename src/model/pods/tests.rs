use super::*;

fn service(target_port: TargetPort) -> Service {
    Service {
        ip_families: vec![IpFamily::V4],
        ports: vec![ServicePort {
            name: "http".into(),
            protocol: Protocol::Tcp,
            port: 80,
            target_port,
            node_port: None,
        }],
        selector: labels("webui"),
        ..Service::new(NamespacedName::new("default", "web"))
    }
}

fn labels(app: &str) -> BTreeMap<Box<str>, Box<str>> {
    BTreeMap::from([("app".into(), app.into())])
}

fn pod(number: u8) -> Pod {
    Pod {
        name: NamespacedName::new("default", format!("web-{number}")),
        labels: labels("webui"),
        ips: vec![
            IpAddr::from([10, 233, 64, number]),
            IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(number)]),
        ],
        node_name: Some("n0".into()),
        hostname: Some(format!("web-{number}").into()),
        subdomain: Some("web".into()),
        ready: true,
        terminating: false,
        finished: false,
        ports: vec![ContainerPort {
            name: "http".into(),
            port: 8080,
            protocol: Protocol::Tcp,
        }],
    }
}

fn nodes() -> BTreeMap<Arc<str>, Node> {
    let node = Node {
        name: "n0".into(),
        zone: Some("za".into()),
        ..Node::default()
    };
    BTreeMap::from([(Arc::clone(&node.name), node)])
}

fn slices(service: &Service, pods: &[Pod]) -> Vec<EndpointSlice> {
    slices_for_service(service, &PodIndex::new(pods), &nodes())
}

fn number(port: u16) -> TargetPort {
    TargetPort::Number(port)
}

#[test]
fn selected_pods_become_endpoints_of_the_services_family() {
    let mut other = pod(3);
    other.labels = labels("other");
    let mut elsewhere = pod(4);
    elsewhere.name = NamespacedName::new("other", "web-4");
    let found = slices(&service(number(8080)), &[pod(1), pod(2), other, elsewhere]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].name.to_string(), "default/web-ipv4-0000");
    assert_eq!(found[0].ports[0].port, 8080);
    let addresses: Vec<_> = found[0]
        .endpoints
        .iter()
        .map(|e| e.address.to_string())
        .collect();
    assert_eq!(addresses, ["10.233.64.1", "10.233.64.2"]);
    assert_eq!(found[0].endpoints[0].zone.as_deref(), Some("za"));
    assert_eq!(found[0].endpoints[0].pod.as_deref(), Some("web-1"));
}

#[test]
fn dual_stack_services_get_slices_of_both_families() {
    let mut service = service(number(80));
    service.ip_families = vec![IpFamily::V6, IpFamily::V4];
    let families: Vec<_> = slices(&service, &[pod(1)])
        .iter()
        .map(|s| s.family)
        .collect();
    assert_eq!(families, [IpFamily::V4, IpFamily::V6]);
}

#[test]
fn a_service_without_selector_gets_nothing() {
    let mut service = service(number(80));
    service.selector.clear();
    assert!(slices(&service, &[pod(1)]).is_empty());
}

#[test]
fn every_label_of_the_selector_must_match() {
    let mut service = service(number(80));
    service.selector.insert("tier".into(), "front".into());
    let mut front = pod(2);
    front.labels.insert("tier".into(), "front".into());
    let found = slices(&service, &[pod(1), front]);
    assert_eq!(found[0].endpoints.len(), 1);
    assert_eq!(found[0].endpoints[0].pod.as_deref(), Some("web-2"));
}

#[test]
fn a_named_port_is_looked_up_in_each_pod() {
    let mut changed = pod(2);
    changed.ports[0].port = 9090;
    let mut without = pod(3);
    without.ports.clear();
    let mut udp = pod(4);
    udp.ports[0].protocol = Protocol::Udp;
    let found = slices(
        &service(TargetPort::Name("http".into())),
        &[pod(1), changed, without, udp],
    );
    let ports: Vec<Vec<u16>> = found
        .iter()
        .map(|s| s.ports.iter().map(|p| p.port).collect())
        .collect();
    assert_eq!(ports, [vec![], vec![8080], vec![9090]]);
    let counts: Vec<_> = found.iter().map(|s| s.endpoints.len()).collect();
    assert_eq!(counts, [2, 1, 1]);
}

#[test]
fn conditions_follow_readiness_and_termination() {
    let conditions = |ready: bool, terminating: bool, publish: bool| {
        let mut service = service(number(80));
        service.publish_not_ready_addresses = publish;
        let pod = Pod {
            ready,
            terminating,
            ..pod(1)
        };
        let slice = slices(&service, &[pod]).remove(0);
        let endpoint = &slice.endpoints[0];
        (endpoint.ready, endpoint.serving, endpoint.terminating)
    };
    assert_eq!(conditions(true, false, false), (true, true, false));
    assert_eq!(conditions(true, true, false), (false, true, true));
    assert_eq!(conditions(false, false, false), (false, false, false));
    assert_eq!(conditions(false, true, true), (true, false, true));
}

#[test]
fn finished_pods_and_pods_without_address_are_no_endpoints() {
    let mut finished = pod(1);
    finished.finished = true;
    let mut pending = pod(2);
    pending.ips.clear();
    assert!(slices(&service(number(80)), &[finished, pending]).is_empty());
}

#[test]
fn a_host_name_counts_only_under_its_own_service() {
    let mut foreign = pod(2);
    foreign.subdomain = Some("db".into());
    let found = slices(&service(number(80)), &[pod(1), foreign]);
    let names: Vec<_> = found[0]
        .endpoints
        .iter()
        .map(|e| e.hostname.as_deref())
        .collect();
    assert_eq!(names, [Some("web-1"), None]);
}

#[test]
fn traffic_distribution_gives_hints_to_ready_endpoints() {
    let hints = |distribution: Option<TrafficDistribution>, ready: bool| {
        let mut service = service(number(80));
        service.traffic_distribution = distribution;
        let pod = Pod { ready, ..pod(1) };
        let endpoint = slices(&service, &[pod]).remove(0).endpoints.remove(0);
        (endpoint.zone_hints.len(), endpoint.node_hints.len())
    };
    assert_eq!(hints(None, true), (0, 0));
    assert_eq!(
        hints(Some(TrafficDistribution::PreferSameZone), true),
        (1, 0)
    );
    assert_eq!(
        hints(Some(TrafficDistribution::PreferSameNode), true),
        (1, 1)
    );
    assert_eq!(
        hints(Some(TrafficDistribution::PreferSameNode), false),
        (0, 0)
    );
}

#[test]
fn slices_hold_a_hundred_endpoints_at_most() {
    let pods: Vec<Pod> = (0..=250).map(pod).collect();
    let found = slices(&service(number(80)), &pods);
    let counts: Vec<_> = found.iter().map(|s| s.endpoints.len()).collect();
    assert_eq!(counts, [100, 100, 51]);
    assert!(found.is_sorted_by(|a, b| a.name < b.name));
}

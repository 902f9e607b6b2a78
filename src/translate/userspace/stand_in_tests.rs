use super::super::{FrontId, Scope, fronts, service as stand_in, slices};
use super::*;
use crate::model::Protocol::{Sctp, Tcp};
use crate::model::{
    EndpointChoice, IpFamily, Node, ServicePort, ServiceType, TargetPort, TrafficPolicy,
    choose_endpoints, endpoints_of, proxied_ports,
};

fn name() -> NamespacedName {
    NamespacedName::new("default", "web")
}

fn web(internal: TrafficPolicy, external: TrafficPolicy) -> Service {
    let port = |name: &str, protocol, port| ServicePort {
        name: name.into(),
        protocol,
        port,
        target_port: TargetPort::Number(8080),
        node_port: None,
    };
    Service {
        service_type: ServiceType::LoadBalancer,
        cluster_ips: vec!["10.233.0.1".parse().unwrap()],
        ip_families: vec![IpFamily::V4],
        ports: vec![port("http", Tcp, 80), port("signal", Sctp, 81)],
        external_ips: vec!["203.0.113.1".parse().unwrap()],
        internal_traffic_policy: internal,
        external_traffic_policy: external,
        affinity_seconds: Some(60),
        ..Service::new(name())
    }
}

/// Endpoints as `(address, node)`.
fn real(endpoints: &[(&str, &str)]) -> Vec<EndpointSlice> {
    let endpoint = |(address, node): &(&str, &str)| Endpoint {
        address: address.parse().unwrap(),
        ready: true,
        serving: true,
        terminating: false,
        node_name: Some((*node).into()),
        zone: None,
        zone_hints: Vec::new(),
        node_hints: Vec::new(),
        hostname: None,
        pod: None,
    };
    let port = EndpointPort {
        name: "http".into(),
        protocol: Tcp,
        port: 8080,
    };
    vec![EndpointSlice {
        name: name(),
        service: name(),
        family: IpFamily::V4,
        ports: vec![port],
        endpoints: endpoints.iter().map(endpoint).collect(),
    }]
}

fn node() -> Node {
    Node {
        name: "n0".into(),
        ..Node::default()
    }
}

/// What rules would choose, as `cluster | local`, with `c` and `l` for the two sockets.
fn seen(service: &Service, endpoints: &[(&str, &str)]) -> (String, bool) {
    let fronts = fronts(service, &real(endpoints), &node(), &[IpFamily::V4]);
    let socket = |id: &FrontId| match id.scope {
        Scope::Cluster => "192.168.10.100:1000",
        Scope::Local => "192.168.10.100:2000",
    };
    let sockets = fronts.iter();
    let sockets = sockets.map(|front| (&front.id, socket(&front.id).parse().unwrap()));
    let slices = slices(&name(), "n0", sockets);
    let port = proxied_ports(&stand_in(service), IpFamily::V4).remove(0);
    assert_eq!(port.affinity_seconds, None);
    let choice = choose_endpoints(&port, &endpoints_of(&port, &slices, "n0"), &node());
    let letters = |list: &[crate::model::EndpointAddress]| -> String {
        let letter = |socket: SocketAddr| if socket.port() == 1000 { 'c' } else { 'l' };
        list.iter()
            .map(|endpoint| letter(endpoint.socket))
            .collect()
    };
    let EndpointChoice {
        cluster,
        local,
        has_any,
        ..
    } = choice;
    (
        format!("{} | {}", letters(&cluster), letters(&local)),
        has_any,
    )
}

#[test]
fn rules_choose_the_socket_of_the_scope_that_they_would_choose_endpoints_of() {
    use TrafficPolicy::{Cluster, Local};
    let here: &[_] = &[("10.1.0.1", "n0"), ("10.1.0.2", "n1")];
    let there: &[_] = &[("10.1.0.2", "n1")];
    let table = [
        (Cluster, Cluster, here, "c | ", true),
        (Cluster, Local, here, "c | l", true),
        (Cluster, Local, there, "c | ", true),
        (Local, Cluster, here, "c | l", true),
        (Local, Local, there, "c | ", true),
        (Cluster, Local, &[][..], " | ", false),
    ];
    for (internal, external, endpoints, chosen, any) in table {
        assert_eq!(
            seen(&web(internal, external), endpoints),
            (chosen.to_owned(), any),
            "{internal:?} {external:?} {endpoints:?}"
        );
    }
}

#[test]
fn a_service_that_only_its_own_node_may_use_drops_where_it_has_no_endpoint() {
    let mut service = web(TrafficPolicy::Local, TrafficPolicy::Cluster);
    service.service_type = ServiceType::ClusterIp;
    service.external_ips.clear();
    assert_eq!(
        seen(&service, &[("10.1.0.2", "n1")]),
        (" | ".to_owned(), true)
    );
    assert_eq!(
        seen(&service, &[("10.1.0.1", "n0")]),
        (" | l".to_owned(), true)
    );
}

#[test]
fn sockets_forward_to_the_endpoints_of_their_scope_and_none_is_for_sctp() {
    let service = web(TrafficPolicy::Cluster, TrafficPolicy::Local);
    let slices = real(&[("10.1.0.1", "n0"), ("10.1.0.2", "n1")]);
    let fronts = fronts(&service, &slices, &node(), &[IpFamily::V4]);
    let described: Vec<_> = fronts
        .iter()
        .map(|front| {
            (
                front.id.to_string(),
                front.endpoints.len(),
                front.affinity_seconds,
            )
        })
        .collect();
    let expected = [
        ("default/web:http/TCP".to_owned(), 2, Some(60)),
        ("default/web:http/TCP of this node".to_owned(), 1, Some(60)),
    ];
    assert_eq!(described, expected);
}

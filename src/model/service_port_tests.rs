//! Which service ports get rules in a family, and what is left of a Service's fields there.

use super::*;
use crate::model::{LoadBalancerIngress, NamespacedName, Protocol, ServicePort, TargetPort};

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn ingress(ip: &str, ip_mode: IngressMode) -> LoadBalancerIngress {
    LoadBalancerIngress {
        ip: Some(ip.parse().unwrap()),
        hostname: None,
        ip_mode,
    }
}

fn port(name: &str, protocol: Protocol, number: u16) -> ServicePort {
    ServicePort {
        name: name.into(),
        protocol,
        port: number,
        target_port: TargetPort::Number(8080),
        node_port: None,
    }
}

/// A dual-stack Service with one port and nothing but cluster IPs.
fn service(service_type: ServiceType) -> Service {
    Service {
        service_type,
        cluster_ips: ips(&["172.30.0.41", "fd00:10:96::41"]),
        ip_families: vec![IpFamily::V4, IpFamily::V6],
        ports: vec![port("p80", Protocol::Tcp, 80)],
        ..Service::new(NamespacedName::new("ns1", "svc1"))
    }
}

fn only(service: &Service, family: IpFamily) -> ProxiedPort {
    let mut ports = proxied_ports(service, family);
    assert_eq!(ports.len(), 1);
    ports.remove(0)
}

#[test]
fn services_without_business_on_a_node_get_no_rules() {
    let base = || service(ServiceType::ClusterIp);
    let table = [
        (
            "headless",
            Service {
                headless: true,
                cluster_ips: Vec::new(),
                ..base()
            },
        ),
        (
            "no cluster IP yet",
            Service {
                cluster_ips: Vec::new(),
                ..base()
            },
        ),
        (
            "ExternalName, even with a cluster IP left over",
            service(ServiceType::ExternalName),
        ),
        (
            "another proxy's",
            Service {
                other_proxy: true,
                ..base()
            },
        ),
        (
            "no ports",
            Service {
                ports: Vec::new(),
                ..base()
            },
        ),
    ];
    for (what, service) in table {
        for family in IpFamily::ALL {
            assert_eq!(proxied_ports(&service, family), [], "{what} {family}");
        }
    }
}

#[test]
fn each_family_sees_its_own_cluster_ip_and_a_single_stack_service_only_one() {
    let dual = service(ServiceType::ClusterIp);
    assert_eq!(
        only(&dual, IpFamily::V4).cluster_ip,
        ips(&["172.30.0.41"])[0]
    );
    assert_eq!(
        only(&dual, IpFamily::V6).cluster_ip,
        ips(&["fd00:10:96::41"])[0]
    );
    let ipv6_only = Service {
        cluster_ips: ips(&["fd00:10:96::41"]),
        ip_families: vec![IpFamily::V6],
        ..service(ServiceType::ClusterIp)
    };
    assert_eq!(proxied_ports(&ipv6_only, IpFamily::V4), []);
    assert_eq!(proxied_ports(&ipv6_only, IpFamily::V6).len(), 1);
    let without_families = Service {
        ip_families: Vec::new(),
        ..ipv6_only
    };
    assert_eq!(proxied_ports(&without_families, IpFamily::V6).len(), 1);
}

#[test]
fn every_port_is_an_entry_and_the_protocol_is_part_of_its_identity() {
    let service = Service {
        ports: vec![
            port("dns", Protocol::Udp, 53),
            port("dns-tcp", Protocol::Tcp, 53),
            port("", Protocol::Sctp, 53),
        ],
        ..service(ServiceType::ClusterIp)
    };
    let names: Vec<(String, Protocol)> = proxied_ports(&service, IpFamily::V4)
        .iter()
        .map(|port| (port.name.to_string(), port.name.protocol))
        .collect();
    assert_eq!(
        names,
        [
            ("ns1/svc1:dns".to_owned(), Protocol::Udp),
            ("ns1/svc1:dns-tcp".to_owned(), Protocol::Tcp),
            ("ns1/svc1".to_owned(), Protocol::Sctp)
        ]
    );
}

#[test]
fn addresses_are_split_by_family() {
    let service = Service {
        external_ips: ips(&["198.51.100.7", "2001:db8::7", "198.51.100.8"]),
        ingress: vec![
            ingress("203.0.113.10", IngressMode::Vip),
            ingress("2001:db8::10", IngressMode::Vip),
        ],
        source_ranges: nets(&["10.0.0.0/8", "2001:db8::/32"]),
        ..service(ServiceType::LoadBalancer)
    };
    let v4 = only(&service, IpFamily::V4);
    assert_eq!(v4.external_ips, ips(&["198.51.100.7", "198.51.100.8"]));
    assert_eq!(v4.load_balancer_vips, ips(&["203.0.113.10"]));
    assert_eq!(v4.source_ranges, nets(&["10.0.0.0/8"]));
    let v6 = only(&service, IpFamily::V6);
    assert_eq!(v6.external_ips, ips(&["2001:db8::7"]));
    assert_eq!(v6.load_balancer_vips, ips(&["2001:db8::10"]));
    assert_eq!(v6.source_ranges, nets(&["2001:db8::/32"]));
}

#[test]
fn only_ingress_addresses_in_mode_vip_are_answered_for_whatever_the_type() {
    let service = Service {
        ingress: vec![
            ingress("203.0.113.10", IngressMode::Proxy),
            ingress("203.0.113.11", IngressMode::Vip),
            LoadBalancerIngress {
                ip: None,
                hostname: Some("lb.example.com".into()),
                ip_mode: IngressMode::Vip,
            },
        ],
        ..service(ServiceType::ClusterIp)
    };
    let port = only(&service, IpFamily::V4);
    assert_eq!(port.load_balancer_vips, ips(&["203.0.113.11"]));
}

#[test]
fn source_ranges_count_as_networks_unless_one_admits_everybody() {
    let table: [(&[&str], &[&str]); 5] = [
        (&[], &[]),
        (
            &["192.168.0.7/24", "203.0.113.0/25"],
            &["192.168.0.0/24", "203.0.113.0/25"],
        ),
        (&["192.168.0.0/24", "0.0.0.0/0"], &[]),
        // A /0 of the other family does not open this one.
        (&["192.168.0.0/24", "::/0"], &["192.168.0.0/24"]),
        (&["2001:db8::/32"], &[]),
    ];
    for (ranges, expected) in table {
        let service = Service {
            source_ranges: nets(ranges),
            ..service(ServiceType::LoadBalancer)
        };
        assert_eq!(
            only(&service, IpFamily::V4).source_ranges,
            nets(expected),
            "{ranges:?}"
        );
    }
}

#[test]
fn external_policy_local_needs_a_way_in_from_outside() {
    let table: [(ServiceType, &[&str], bool); 5] = [
        (ServiceType::ClusterIp, &[], false),
        (ServiceType::ClusterIp, &["198.51.100.7"], true),
        // An external IP of the other family counts as well.
        (ServiceType::ClusterIp, &["2001:db8::7"], true),
        (ServiceType::NodePort, &[], true),
        (ServiceType::LoadBalancer, &[], true),
    ];
    for (service_type, external_ips, expected) in table {
        let service = Service {
            external_ips: ips(external_ips),
            external_traffic_policy: TrafficPolicy::Local,
            ..service(service_type)
        };
        assert_eq!(
            only(&service, IpFamily::V4).external_local,
            expected,
            "{service_type:?} {external_ips:?}"
        );
    }
}

#[test]
fn the_health_check_port_belongs_to_load_balancers_with_policy_local() {
    use ServiceType::{LoadBalancer, NodePort};
    use TrafficPolicy::{Cluster, Local};
    let table = [
        (LoadBalancer, Local, Some(32100), Some(32100)),
        (LoadBalancer, Cluster, Some(32100), None),
        (NodePort, Local, Some(32100), None),
        (LoadBalancer, Local, Some(0), None),
        (LoadBalancer, Local, None, None),
    ];
    for (service_type, external_traffic_policy, number, expected) in table {
        let service = Service {
            external_traffic_policy,
            health_check_node_port: number,
            ..service(service_type)
        };
        assert_eq!(
            only(&service, IpFamily::V4).health_check_node_port,
            expected
        );
    }
}

#[test]
fn node_ports_count_whatever_the_type_and_make_a_service_accessible_from_outside() {
    let mut service = service(ServiceType::ClusterIp);
    assert!(!only(&service, IpFamily::V4).externally_accessible());
    service.ports[0].node_port = Some(30080);
    let port = only(&service, IpFamily::V4);
    assert_eq!(port.node_port, Some(30080));
    assert!(port.externally_accessible());
}

#[test]
fn policies_and_ways_in_decide_which_endpoints_are_of_interest() {
    use TrafficPolicy::{Cluster, Local};
    // internal policy, external policy, has a node port; of the cluster, of this node
    let table = [
        (Cluster, Cluster, false, true, false),
        (Cluster, Local, true, true, true),
        (Local, Cluster, false, false, true),
        (Local, Cluster, true, true, true),
        (Local, Local, true, true, true),
    ];
    for (internal_traffic_policy, external_traffic_policy, node_port, cluster, local) in table {
        let mut service = Service {
            internal_traffic_policy,
            external_traffic_policy,
            ..service(ServiceType::NodePort)
        };
        service.ports[0].node_port = node_port.then_some(30080);
        let port = only(&service, IpFamily::V4);
        assert_eq!(
            (port.uses_cluster_endpoints(), port.uses_local_endpoints()),
            (cluster, local)
        );
    }
}

#[test]
fn affinity_is_carried_over() {
    let service = Service {
        affinity_seconds: Some(10800),
        ..service(ServiceType::ClusterIp)
    };
    assert_eq!(only(&service, IpFamily::V6).affinity_seconds, Some(10800));
}

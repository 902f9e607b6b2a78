//! Which endpoints of a service port a node uses.
//!
//! Endpoints are written as words: `10.0.0.1 local zones=a,b nodes=n1 unready`.

mod hints;
mod policies;

use super::*;
use crate::model::{NamespacedName, Protocol, ServicePortName};

const NODE: &str = "n1";

fn node(zone: &str) -> Node {
    Node {
        name: NODE.into(),
        zone: (!zone.is_empty()).then(|| zone.into()),
        ..Node::default()
    }
}

fn endpoint(words: &str) -> EndpointAddress {
    let mut words = words.split(' ');
    let ip: IpAddr = words.next().unwrap().parse().unwrap();
    let mut endpoint = EndpointAddress {
        socket: SocketAddr::new(ip, 80),
        local: false,
        ready: true,
        serving: true,
        terminating: false,
        zone_hints: Vec::new(),
        node_hints: Vec::new(),
    };
    let list = |text: &str| text.split(',').map(Arc::from).collect();
    for word in words {
        match word.split_once('=') {
            Some(("zones", zones)) => endpoint.zone_hints = list(zones),
            Some(("nodes", nodes)) => endpoint.node_hints = list(nodes),
            _ => match word {
                "local" => endpoint.local = true,
                "unready" => {
                    endpoint.ready = false;
                    endpoint.serving = false;
                }
                "stopping" => {
                    endpoint.ready = false;
                    endpoint.terminating = true;
                }
                "gone" => {
                    endpoint.ready = false;
                    endpoint.serving = false;
                    endpoint.terminating = true;
                }
                other => panic!("{other}"),
            },
        }
    }
    endpoint
}

/// Internal and external policy `Local`, and whether there is a node port.
#[derive(Clone, Copy, Debug)]
struct Policies {
    internal_local: bool,
    external_local: bool,
    node_port: bool,
}

const CLUSTER: Policies = Policies {
    internal_local: false,
    external_local: false,
    node_port: true,
};
const ETP_LOCAL: Policies = Policies {
    external_local: true,
    ..CLUSTER
};
const ITP_LOCAL: Policies = Policies {
    internal_local: true,
    ..CLUSTER
};
const INTERNAL_ONLY: Policies = Policies {
    internal_local: true,
    external_local: false,
    node_port: false,
};

fn port(policies: Policies) -> ProxiedPort {
    ProxiedPort {
        name: ServicePortName {
            service: NamespacedName::new("ns1", "svc1"),
            port: "p80".into(),
            protocol: Protocol::Tcp,
        },
        cluster_ip: "172.30.0.41".parse().unwrap(),
        port: 80,
        node_port: policies.node_port.then_some(30080),
        external_ips: Vec::new(),
        load_balancer_vips: Vec::new(),
        source_ranges: Vec::new(),
        affinity_seconds: None,
        internal_local: policies.internal_local,
        external_local: policies.external_local,
        health_check_node_port: None,
    }
}

/// Last octets of the chosen endpoints: cluster, local, reachable; and whether there is any.
type Chosen = (Vec<u8>, Vec<u8>, Vec<u8>, bool);

fn chosen(policies: Policies, zone: &str, endpoints: &[&str]) -> Chosen {
    let endpoints: Vec<EndpointAddress> = endpoints.iter().map(|words| endpoint(words)).collect();
    let choice = choose_endpoints(&port(policies), &endpoints, &node(zone));
    let octets = |list: &[EndpointAddress]| -> Vec<u8> {
        list.iter()
            .map(|endpoint| match endpoint.ip() {
                IpAddr::V4(ip) => ip.octets()[3],
                IpAddr::V6(ip) => ip.octets()[15],
            })
            .collect()
    };
    (
        octets(&choice.cluster),
        octets(&choice.local),
        octets(&choice.reachable),
        choice.has_any,
    )
}

struct Case {
    what: &'static str,
    policies: Policies,
    zone: &'static str,
    endpoints: &'static [&'static str],
    cluster: &'static [u8],
    local: &'static [u8],
    reachable: &'static [u8],
    has_any: bool,
}

fn check(cases: &[Case]) {
    for case in cases {
        let expected = (
            case.cluster.to_vec(),
            case.local.to_vec(),
            case.reachable.to_vec(),
            case.has_any,
        );
        let actual = chosen(case.policies, case.zone, case.endpoints);
        assert_eq!(actual, expected, "{}", case.what);
    }
}

/// A case of policy `Cluster`, where the reachable endpoints are those of the cluster.
const fn hints(
    what: &'static str,
    zone: &'static str,
    endpoints: &'static [&'static str],
    cluster: &'static [u8],
) -> Case {
    Case {
        what,
        policies: CLUSTER,
        zone,
        endpoints,
        cluster,
        local: &[],
        reachable: cluster,
        has_any: !cluster.is_empty(),
    }
}

#[test]
fn topology_and_locality_are_merged_where_they_disagree() {
    check(&[
        Case {
            what: "a local endpoint that is meant for another zone",
            policies: ETP_LOCAL,
            zone: "a",
            endpoints: &[
                "10.0.0.1 zones=a",
                "10.0.0.10 zones=b local",
                "10.0.0.2 zones=b",
            ],
            cluster: &[1],
            local: &[10],
            reachable: &[10, 1],
            has_any: true,
        },
        Case {
            what: "zone and node agree",
            policies: ETP_LOCAL,
            zone: "a",
            endpoints: &["10.0.0.1 zones=a local", "10.0.0.2 zones=b"],
            cluster: &[1],
            local: &[1],
            reachable: &[1],
            has_any: true,
        },
    ]);
}

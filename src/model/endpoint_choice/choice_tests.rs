//! Which endpoints of a service port a node uses.
//!
//! Endpoints are written as words: `10.0.0.1 local zones=a,b nodes=n1 unready`.

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
fn zone_hints_narrow_the_list_only_if_every_ready_endpoint_has_them_and_one_is_for_us() {
    check(&[
        hints(
            "hints for our zone",
            "a",
            &[
                "10.0.0.1 zones=a",
                "10.0.0.2 zones=b",
                "10.0.0.3 zones=c",
                "10.0.0.4 zones=a",
            ],
            &[1, 4],
        ),
        hints(
            "an endpoint meant for several zones",
            "a",
            &[
                "10.0.0.1 zones=a,b,c",
                "10.0.0.2 zones=b,c",
                "10.0.0.3 zones=b",
                "10.0.0.4 zones=c",
            ],
            &[1],
        ),
        hints(
            "one endpoint without a hint",
            "a",
            &["10.0.0.1 zones=a", "10.0.0.2", "10.0.0.3 zones=b"],
            &[1, 2, 3],
        ),
        hints(
            "nothing for our zone",
            "d",
            &["10.0.0.1 zones=a", "10.0.0.2 zones=b"],
            &[1, 2],
        ),
        hints(
            "a node without a zone",
            "",
            &["10.0.0.1 zones=a", "10.0.0.2 zones=b"],
            &[1, 2],
        ),
        hints("no hints at all", "a", &["10.0.0.1", "10.0.0.2"], &[1, 2]),
    ]);
}

#[test]
fn unready_endpoints_are_not_used_and_their_hints_do_not_count() {
    check(&[
        hints(
            "an unready endpoint of our zone",
            "a",
            &[
                "10.0.0.1 zones=a",
                "10.0.0.2 zones=b",
                "10.0.0.3 zones=a unready",
            ],
            &[1],
        ),
        hints(
            "an unready endpoint without hints does not switch them off",
            "a",
            &["10.0.0.1 zones=a", "10.0.0.2 zones=b", "10.0.0.3 unready"],
            &[1],
        ),
        hints(
            "the only endpoint for our zone is unready",
            "a",
            &["10.0.0.1 zones=a unready", "10.0.0.2 zones=b"],
            &[2],
        ),
        hints("without hints", "", &["10.0.0.1", "10.0.0.2 unready"], &[1]),
        hints("all unready", "", &["10.0.0.1 unready"], &[]),
        hints("none", "a", &[], &[]),
    ]);
}

#[test]
fn node_hints_come_before_zone_hints() {
    check(&[
        hints(
            "one for our node",
            "a",
            &[
                "10.0.0.1 zones=a nodes=n1",
                "10.0.0.2 zones=a nodes=n2",
                "10.0.0.3 zones=b nodes=n3",
            ],
            &[1],
        ),
        hints(
            "none for our node: by zone",
            "a",
            &[
                "10.0.0.1 zones=a nodes=n2",
                "10.0.0.2 zones=a nodes=n3",
                "10.0.0.3 zones=b nodes=n4",
            ],
            &[1, 2],
        ),
        hints(
            "not every endpoint has a node hint: by zone",
            "a",
            &["10.0.0.1 zones=a nodes=n1", "10.0.0.2 zones=a"],
            &[1, 2],
        ),
        hints(
            "our node unready: by zone",
            "a",
            &[
                "10.0.0.1 zones=a nodes=n1 unready",
                "10.0.0.2 zones=a nodes=n2",
                "10.0.0.3 zones=b nodes=n3",
            ],
            &[2],
        ),
        hints(
            "neither our node nor our zone",
            "d",
            &["10.0.0.1 zones=a nodes=n2", "10.0.0.2 zones=b nodes=n3"],
            &[1, 2],
        ),
        hints(
            "node hints without zone hints, elsewhere",
            "a",
            &["10.0.0.1 nodes=n2", "10.0.0.2 nodes=n3"],
            &[1, 2],
        ),
    ]);
}

#[test]
fn policy_local_keeps_to_endpoints_of_the_node() {
    const PODS: &[&str] = &["10.0.0.1", "10.0.0.2 local", "10.0.0.3 unready"];
    check(&[
        Case {
            what: "outside traffic local, inside traffic everywhere",
            policies: ETP_LOCAL,
            zone: "",
            endpoints: PODS,
            cluster: &[1, 2],
            local: &[2],
            reachable: &[1, 2],
            has_any: true,
        },
        Case {
            what: "no endpoint on this node",
            policies: ETP_LOCAL,
            zone: "",
            endpoints: &["10.0.0.1", "10.0.0.2"],
            cluster: &[1, 2],
            local: &[],
            reachable: &[1, 2],
            has_any: true,
        },
        Case {
            what: "all on this node",
            policies: ETP_LOCAL,
            zone: "",
            endpoints: &["10.0.0.1 local", "10.0.0.2 local"],
            cluster: &[1, 2],
            local: &[1, 2],
            reachable: &[1, 2],
            has_any: true,
        },
        Case {
            what: "inside traffic local, with a way in from outside",
            policies: ITP_LOCAL,
            zone: "",
            endpoints: PODS,
            cluster: &[1, 2],
            local: &[2],
            reachable: &[1, 2],
            has_any: true,
        },
        Case {
            what: "inside traffic local, no way in from outside",
            policies: INTERNAL_ONLY,
            zone: "",
            endpoints: PODS,
            cluster: &[],
            local: &[2],
            reachable: &[2],
            has_any: true,
        },
        Case {
            what: "inside only, nothing on this node, but something elsewhere",
            policies: INTERNAL_ONLY,
            zone: "",
            endpoints: &["10.0.0.1", "10.0.0.2"],
            cluster: &[],
            local: &[],
            reachable: &[],
            has_any: true,
        },
        Case {
            what: "both local",
            policies: Policies {
                internal_local: true,
                external_local: true,
                node_port: true,
            },
            zone: "",
            endpoints: PODS,
            cluster: &[1, 2],
            local: &[2],
            reachable: &[1, 2],
            has_any: true,
        },
        Case {
            what: "an external policy without a way in means nothing",
            policies: Policies {
                internal_local: false,
                external_local: true,
                node_port: false,
            },
            zone: "",
            endpoints: PODS,
            cluster: &[1, 2],
            local: &[],
            reachable: &[1, 2],
            has_any: true,
        },
        Case {
            what: "everything unready",
            policies: ETP_LOCAL,
            zone: "",
            endpoints: &["10.0.0.1 unready", "10.0.0.2 local unready"],
            cluster: &[],
            local: &[],
            reachable: &[],
            has_any: false,
        },
    ]);
}

#[test]
fn terminating_endpoints_stand_in_where_a_scope_has_no_ready_one() {
    check(&[
        hints(
            "not while one is ready",
            "",
            &["10.0.0.1", "10.0.0.2 stopping"],
            &[1],
        ),
        hints(
            "serving ones only",
            "",
            &["10.0.0.1 stopping", "10.0.0.2 gone", "10.0.0.3 unready"],
            &[1],
        ),
        hints(
            "whatever their hints",
            "a",
            &["10.0.0.1 stopping zones=b", "10.0.0.2 stopping zones=a"],
            &[1, 2],
        ),
        Case {
            what: "the node falls back by itself while the cluster has ready ones",
            policies: ETP_LOCAL,
            zone: "",
            endpoints: &["10.0.0.1 local stopping", "10.0.0.2 local gone", "10.0.0.3"],
            cluster: &[3],
            local: &[1],
            reachable: &[1, 3],
            has_any: true,
        },
        Case {
            what: "both fall back",
            policies: ETP_LOCAL,
            zone: "",
            endpoints: &["10.0.0.1 local stopping", "10.0.0.2 stopping"],
            cluster: &[1, 2],
            local: &[1],
            reachable: &[1, 2],
            has_any: true,
        },
        Case {
            what: "only another node's is left",
            policies: ETP_LOCAL,
            zone: "",
            endpoints: &["10.0.0.1 local gone", "10.0.0.2 stopping"],
            cluster: &[2],
            local: &[],
            reachable: &[2],
            has_any: true,
        },
        Case {
            what: "inside only",
            policies: INTERNAL_ONLY,
            zone: "",
            endpoints: &["10.0.0.1 local stopping", "10.0.0.2"],
            cluster: &[],
            local: &[1],
            reachable: &[1],
            has_any: true,
        },
        Case {
            what: "nothing that serves",
            policies: ETP_LOCAL,
            zone: "",
            endpoints: &["10.0.0.1 local gone", "10.0.0.2 gone"],
            cluster: &[],
            local: &[],
            reachable: &[],
            has_any: false,
        },
    ]);
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

use std::net::IpAddr;

use super::*;
use crate::model::{Endpoint, EndpointPort, IpFamily, Node, Protocol, Service};

/// What the loop holds.
struct Loop {
    cluster: LiveCluster,
    snapshot: Snapshot,
}

impl Loop {
    fn new() -> Self {
        Self {
            cluster: LiveCluster::new("2026-05-01T10:00:00Z".parse().unwrap()),
            snapshot: Snapshot::default(),
        }
    }

    fn take(&mut self, resource: Resource, updates: Vec<Update>) -> News {
        let batch = Batch::new(resource, updates, None);
        let news = self.cluster.take(batch, &self.snapshot);
        self.snapshot.apply(news.delta.clone());
        news
    }

    /// A complete list of slices.
    fn lists(&mut self, slices: Vec<EndpointSlice>) -> News {
        let mut updates = vec![Update::Listing];
        updates.extend(slices.into_iter().map(put));
        updates.push(Update::Listed);
        self.take(Resource::EndpointSlices, updates)
    }

    fn addresses(&self, service: &str) -> Vec<String> {
        let slices = self.snapshot.slices_of(&name(service)).iter();
        let endpoints = slices.flat_map(|slice| &slice.endpoints);
        endpoints
            .map(|endpoint| endpoint.address.to_string())
            .collect()
    }
}

fn name(text: &str) -> NamespacedName {
    NamespacedName::new("shop", text)
}

fn slice(slice: &str, service: &str, addresses: &[&str]) -> EndpointSlice {
    let endpoint = |address: &&str| Endpoint {
        address: address.parse::<IpAddr>().unwrap(),
        ready: true,
        serving: true,
        terminating: false,
        node_name: None,
        zone: None,
        zone_hints: Vec::new(),
        node_hints: Vec::new(),
        hostname: None,
        pod: None,
    };
    EndpointSlice {
        name: name(slice),
        service: name(service),
        family: IpFamily::V4,
        ports: vec![EndpointPort {
            name: "".into(),
            protocol: Protocol::Tcp,
            port: 80,
        }],
        endpoints: addresses.iter().map(endpoint).collect(),
    }
}

fn put(slice: EndpointSlice) -> Update {
    put_at(slice, None)
}

fn put_at(slice: EndpointSlice, trigger: Option<&str>) -> Update {
    let trigger = trigger.map(|text| text.parse().unwrap());
    Update::Put {
        name: slice.name.clone(),
        object: Some(Object::Slice(slice, trigger)),
        flaw: None,
    }
}

fn put_service(service: &str) -> Update {
    Update::Put {
        name: name(service),
        object: Some(Object::Service(Box::new(Service::new(name(service))))),
        flaw: None,
    }
}

#[test]
fn issue_28674_76338_endpoints_that_a_list_does_not_name_are_gone() {
    let mut agent = Loop::new();
    agent.lists(vec![
        slice("web-a", "web", &["10.0.0.1"]),
        slice("web-b", "web", &["10.0.0.2"]),
        slice("db-a", "db", &["10.0.0.3"]),
    ]);
    // Deletions were missed while nobody watched.
    let news = agent.lists(vec![slice("web-b", "web", &["10.0.0.2"])]);
    assert_eq!(agent.addresses("web"), ["10.0.0.2"]);
    assert!(agent.addresses("db").is_empty());
    assert_eq!(news.delta.slices.len(), 2);
    assert!(agent.snapshot.slices.is_empty() || agent.snapshot.slices.len() == 1);
}

#[test]
fn a_list_changes_nothing_before_it_is_complete_nor_if_it_is_broken_off() {
    let mut agent = Loop::new();
    agent.lists(vec![slice("web-a", "web", &["10.0.0.1"])]);
    let half = vec![Update::Listing, put(slice("web-b", "web", &["10.0.0.9"]))];
    assert!(agent.take(Resource::EndpointSlices, half).delta.is_empty());
    let news = agent.take(Resource::EndpointSlices, vec![Update::BrokenOff]);
    assert!(news.delta.is_empty());
    assert_eq!(agent.addresses("web"), ["10.0.0.1"]);
    let news = agent.take(
        Resource::EndpointSlices,
        vec![put(slice("web-a", "web", &["10.0.0.2"]))],
    );
    assert_eq!(news.delta.slices.len(), 1, "and watching goes on");
    assert_eq!(agent.addresses("web"), ["10.0.0.2"]);
}

#[test]
fn a_list_that_says_what_is_known_changes_nothing() {
    let mut agent = Loop::new();
    let all = || {
        vec![
            slice("web-a", "web", &["10.0.0.1"]),
            slice("web-b", "web", &["10.0.0.2"]),
        ]
    };
    agent.lists(all());
    assert!(agent.lists(all()).delta.is_empty());
}

#[test]
fn a_slice_may_move_to_another_service() {
    let mut agent = Loop::new();
    agent.lists(vec![slice("a", "web", &["10.0.0.1"])]);
    let moved = put(slice("a", "db", &["10.0.0.1"]));
    agent.take(Resource::EndpointSlices, vec![moved]);
    assert!(agent.addresses("web").is_empty());
    assert_eq!(agent.addresses("db"), ["10.0.0.1"]);
    agent.take(Resource::EndpointSlices, vec![Update::Gone(name("a"))]);
    assert!(agent.addresses("db").is_empty());
    assert!(agent.cluster.owners.is_empty());
}

#[test]
fn many_events_of_one_read_are_one_delta_and_what_is_undone_is_none() {
    let mut agent = Loop::new();
    let news = agent.take(
        Resource::EndpointSlices,
        vec![
            put(slice("a", "web", &["10.0.0.1"])),
            put(slice("a", "web", &["10.0.0.1", "10.0.0.2"])),
            put(slice("b", "db", &["10.0.0.3"])),
            Update::Gone(name("b")),
        ],
    );
    assert_eq!(news.delta.slices.len(), 1);
    assert_eq!(agent.addresses("web"), ["10.0.0.1", "10.0.0.2"]);
}

#[test]
fn what_cannot_be_read_leaves_the_object_as_it_was_and_the_others_alone() {
    let mut agent = Loop::new();
    agent.take(
        Resource::Services,
        vec![
            Update::Listing,
            put_service("web"),
            put_service("db"),
            Update::Listed,
        ],
    );
    let malformed = || Update::Malformed {
        name: Some(name("web")),
        reason: "spec.ports[0].port: invalid type".to_owned(),
    };
    let news = agent.take(Resource::Services, vec![malformed(), put_service("new")]);
    assert_eq!(news.delta.services.len(), 1);
    assert_eq!(agent.cluster.flawed(Resource::Services), 1);
    // A list still names it.
    let list = vec![Update::Listing, malformed(), Update::Listed];
    agent.take(Resource::Services, list);
    let left: Vec<_> = agent
        .snapshot
        .services
        .keys()
        .map(ToString::to_string)
        .collect();
    assert_eq!(left, ["shop/web"]);
    agent.take(Resource::Services, vec![Update::Gone(name("web"))]);
    assert!(agent.snapshot.services.is_empty());
    assert_eq!(agent.cluster.flawed(Resource::Services), 0);
}

#[test]
fn issue_82378_only_changes_since_the_start_measure_the_latency() {
    let mut agent = Loop::new();
    let put = |address: &str, at: &str| put_at(slice("a", "web", &[address]), Some(at));
    let list = vec![
        Update::Listing,
        put("10.0.0.1", "2026-05-01T09:59:59Z"),
        Update::Listed,
    ];
    assert!(
        agent
            .take(Resource::EndpointSlices, list)
            .triggers
            .is_empty()
    );
    let change = || vec![put("10.0.0.2", "2026-05-01T10:00:01Z")];
    let news = agent.take(Resource::EndpointSlices, change());
    assert_eq!(news.triggers.len(), 1);
    let news = agent.take(Resource::EndpointSlices, change());
    assert!(news.triggers.is_empty(), "nothing changed");
}

#[test]
fn nothing_is_complete_before_all_is_listed() {
    let mut agent = Loop::new();
    for resource in Resource::ALL {
        assert!(!agent.cluster.is_complete());
        let update = if resource.is_optional() {
            vec![Update::Unavailable]
        } else {
            vec![Update::Listing, Update::Listed]
        };
        agent.take(resource, update);
    }
    assert!(agent.cluster.is_complete());
}

#[test]
fn ranges_of_cluster_ips_are_those_of_all_objects() {
    let mut agent = Loop::new();
    let put = |object: &str, cidr: &str| Update::Put {
        name: NamespacedName::new("", object),
        object: Some(Object::ServiceCidr(vec![cidr.parse().unwrap()])),
        flaw: None,
    };
    let more = vec![
        Update::Listing,
        put("kubernetes", "10.96.0.0/16"),
        put("more", "10.97.0.0/16"),
        Update::Listed,
    ];
    agent.take(Resource::ServiceCidrs, more);
    assert_eq!(agent.snapshot.service_cidrs.len(), 2);
    let gone = vec![Update::Gone(NamespacedName::new("", "more"))];
    agent.take(Resource::ServiceCidrs, gone);
    assert_eq!(
        agent.snapshot.service_cidrs,
        ["10.96.0.0/16".parse().unwrap()]
    );
}

#[test]
fn the_own_node_follows() {
    let mut agent = Loop::new();
    let node = |zone: &str| Update::Put {
        name: NamespacedName::new("", "n0"),
        object: Some(Object::Node(Box::new(Node {
            name: "n0".into(),
            zone: Some(zone.into()),
            ..Node::default()
        }))),
        flaw: None,
    };
    agent.take(
        Resource::Nodes,
        vec![Update::Listing, node("east"), Update::Listed],
    );
    let news = agent.take(Resource::Nodes, vec![node("west")]);
    assert_eq!(news.delta.nodes.len(), 1);
    let relist = vec![Update::Listing, Update::Listed];
    agent.take(Resource::Nodes, relist);
    assert!(agent.snapshot.nodes.is_empty());
}

//! The manifests that the agents of a lab follow: Services with their addresses, nodes, and the
//! EndpointSlices that the lab makes as the cluster's controller would.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use super::LabError;
use super::place::Place;
use super::plan;
use super::revision;
use super::state::{NodeState, State, replace};
use crate::model::{
    Endpoint, EndpointSlice, IpFamily, NamespacedName, Node, Pod, PodIndex, Service, Snapshot,
    TrafficDistribution, slices_for_service,
};
use crate::source::api::{SERVICE_NAME_LABEL, ZONE_LABEL};

/// Namespace and name of the Service that DNS is, as kubespray has it.
pub(super) const DNS_SERVICE: (&str, &str) = ("kube-system", "coredns");

/// The directory that agents follow.
pub(super) fn directory(place: &Place) -> PathBuf {
    place.file("cluster")
}

/// Services and everything else that was written and is handed on, once their addresses are known.
pub(super) fn write_services(
    place: &Place,
    written: &[Value],
    snapshot: &Snapshot,
) -> Result<(), LabError> {
    let mut objects: Vec<Value> = Vec::new();
    for object in written {
        let kind = object.get("kind").and_then(Value::as_str).unwrap_or("");
        let version = object.get("apiVersion").and_then(Value::as_str);
        match (version, kind) {
            (Some("v1"), "Service") => {
                let name = name_of(object);
                let service = snapshot.services.get(&name);
                objects.push(service.map_or_else(|| object.clone(), |s| resolved(object, s)));
            }
            (Some("v1"), "Endpoints" | "Namespace") | (_, "EndpointSlice") => {
                objects.push(object.clone());
            }
            _ => {}
        }
    }
    fs::create_dir_all(directory(place))?;
    write(place, "services.yaml", &objects)
}

/// What the lab adds to the manifests: DNS, unless they have it.
pub(super) fn dns_service() -> Value {
    let (namespace, name) = DNS_SERVICE;
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "clusterIP": plan::DNS,
            // Each agent serves names at its node's address; others are for when it does not.
            "trafficDistribution": "PreferSameNode",
            "ports": [
                {"name": "dns", "protocol": "UDP", "port": 53, "targetPort": 53},
                {"name": "dns-tcp", "protocol": "TCP", "port": 53, "targetPort": 53},
            ],
        },
    })
}

pub(super) fn name_of(object: &Value) -> NamespacedName {
    let field = |field: &str| object["metadata"][field].as_str().map(str::to_owned);
    let namespace = field("namespace").unwrap_or_else(|| "default".to_owned());
    NamespacedName::new(namespace, field("name").unwrap_or_default())
}

/// A Service as it was written, with the addresses and ports that it was given.
fn resolved(written: &Value, service: &Service) -> Value {
    let mut object = written.clone();
    let spec = &mut object["spec"];
    if let Some(first) = service.cluster_ips.first() {
        spec["clusterIP"] = json!(first);
        spec["clusterIPs"] = json!(service.cluster_ips);
        let families = service.ip_families.iter().map(ToString::to_string);
        spec["ipFamilies"] = json!(families.collect::<Vec<_>>());
    }
    for (at, port) in service.ports.iter().enumerate() {
        if let Some(node_port) = port.node_port {
            spec["ports"][at]["nodePort"] = json!(node_port);
        }
    }
    if let Some(port) = service.health_check_node_port {
        spec["healthCheckNodePort"] = json!(port);
    }
    if !service.balancer_ips.is_empty() {
        let ingress = service.balancer_ips.iter();
        let ingress: Vec<Value> = ingress
            .map(|ip| json!({"ip": ip, "ipMode": "VIP"}))
            .collect();
        object["status"] = json!({"loadBalancer": {"ingress": ingress}});
    }
    object
}

/// Nodes, which stay, and the slices of this moment.
pub(super) fn write_endpoints(
    place: &Place,
    state: &State,
    snapshot: &Snapshot,
) -> Result<(), LabError> {
    let nodes: Vec<Value> = state.nodes.iter().map(node_object).collect();
    write(place, "nodes.yaml", &nodes)?;
    let slices = slices(state, snapshot);
    let mut objects: Vec<Value> = slices.iter().map(slice_object).collect();
    objects.push(revision::slice(state.revision));
    write(place, "endpointslices.yaml", &objects)
}

/// The slices that the controller would make of the lab's pods, and those of DNS. Services whose
/// endpoints the manifests bring have none of ours.
pub(super) fn slices(state: &State, snapshot: &Snapshot) -> Vec<EndpointSlice> {
    let mut pods: Vec<Pod> = state.pods.iter().map(super::state::PodState::pod).collect();
    pods.sort_by(|a, b| a.name.cmp(&b.name));
    let index = PodIndex::new(&pods);
    let nodes = state.nodes.iter().map(node);
    let nodes = nodes.map(|node| (Arc::clone(&node.name), node)).collect();
    let selecting = snapshot.services.values().filter(|service| {
        !service.selector.is_empty() && !snapshot.slices.contains_key(&service.name)
    });
    let mut slices: Vec<EndpointSlice> = selecting
        .flat_map(|service| slices_for_service(service, &index, &nodes))
        .collect();
    let (namespace, name) = DNS_SERVICE;
    let dns = NamespacedName::new(namespace, name);
    if let Some(service) = snapshot.services.get(&dns)
        && service.selector.is_empty()
        && !snapshot.slices.contains_key(&dns)
    {
        slices.push(dns_slice(service, state));
    }
    slices
}

/// The agents of all nodes that work.
fn dns_slice(service: &Service, state: &State) -> EndpointSlice {
    let endpoint = |node: &NodeState| {
        let name: Arc<str> = node.name.as_str().into();
        let hinted = service.traffic_distribution == Some(TrafficDistribution::PreferSameNode);
        Endpoint {
            address: node.address.into(),
            ready: true,
            serving: true,
            terminating: false,
            node_name: Some(Arc::clone(&name)),
            zone: Some(zone(node)),
            zone_hints: hinted.then(|| zone(node)).into_iter().collect(),
            node_hints: hinted.then_some(name).into_iter().collect(),
            hostname: None,
            pod: None,
        }
    };
    let port = |port: &crate::model::ServicePort| crate::model::EndpointPort {
        name: Arc::clone(&port.name),
        protocol: port.protocol,
        port: 53,
    };
    let name = &service.name;
    EndpointSlice {
        name: NamespacedName::new(Arc::clone(&name.namespace), format!("{}-lab", name.name)),
        service: name.clone(),
        family: IpFamily::V4,
        ports: service.ports.iter().map(port).collect(),
        endpoints: state.working().map(endpoint).collect(),
    }
}

/// Every node is a zone of its own, so that hints can be seen at work.
fn zone(node: &NodeState) -> Arc<str> {
    format!("zone-{}", node.number).into()
}

fn node(node: &NodeState) -> Node {
    Node {
        name: node.name.as_str().into(),
        zone: Some(zone(node)),
        addresses: vec![node.address.into()],
        pod_cidrs: vec![plan::pod_network(node.number).into()],
        no_balancer: false,
        leaving: false,
    }
}

fn node_object(node: &NodeState) -> Value {
    let network = plan::pod_network(node.number).to_string();
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": node.name, "labels": {
            "kubernetes.io/hostname": node.name, ZONE_LABEL: &*zone(node),
        }},
        "spec": {"podCIDR": network, "podCIDRs": [network]},
        "status": {"addresses": [
            {"type": "InternalIP", "address": node.address},
            {"type": "Hostname", "address": node.name},
        ]},
    })
}

fn slice_object(slice: &EndpointSlice) -> Value {
    let ports = slice.ports.iter().map(
        |port| json!({"name": &*port.name, "protocol": port.protocol.upper(), "port": port.port}),
    );
    let namespace = &*slice.name.namespace;
    let endpoints = slice.endpoints.iter();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "namespace": namespace, "name": &*slice.name.name,
            "labels": {SERVICE_NAME_LABEL: &*slice.service.name},
        },
        "addressType": slice.family.to_string(),
        "ports": ports.collect::<Vec<_>>(),
        "endpoints": endpoints.map(|e| endpoint_object(e, namespace)).collect::<Vec<_>>(),
    })
}

fn endpoint_object(endpoint: &Endpoint, namespace: &str) -> Value {
    let mut object = json!({
        "addresses": [endpoint.address],
        "conditions": {
            "ready": endpoint.ready, "serving": endpoint.serving, "terminating": endpoint.terminating,
        },
    });
    let mut set = |field: &str, value: Option<Value>| {
        if let Some(value) = value {
            object[field] = value;
        }
    };
    let names = |list: &[Arc<str>]| {
        list.iter()
            .map(|name| json!({"name": &**name}))
            .collect::<Vec<_>>()
    };
    set("nodeName", endpoint.node_name.as_deref().map(Value::from));
    set("zone", endpoint.zone.as_deref().map(Value::from));
    set("hostname", endpoint.hostname.as_deref().map(Value::from));
    let pod = endpoint.pod.as_deref();
    let reference = |name| json!({"kind": "Pod", "namespace": namespace, "name": name});
    set("targetRef", pod.map(reference));
    let mut hints = json!({});
    if !endpoint.zone_hints.is_empty() {
        hints["forZones"] = json!(names(&endpoint.zone_hints));
    }
    if !endpoint.node_hints.is_empty() {
        hints["forNodes"] = json!(names(&endpoint.node_hints));
    }
    set(
        "hints",
        hints
            .as_object()
            .is_some_and(|map| !map.is_empty())
            .then_some(hints.clone()),
    );
    object
}

/// The addresses that stand for external names: each its own, in the order of the names.
pub(super) fn outside(snapshot: &Snapshot) -> Vec<(String, Ipv4Addr)> {
    let names = snapshot
        .services
        .values()
        .filter_map(|service| service.external_name.as_deref());
    let names: std::collections::BTreeSet<&str> =
        names.map(|name| name.trim_end_matches('.')).collect();
    let addresses = plan::OUTSIDE.hosts().skip(9);
    names
        .into_iter()
        .map(str::to_lowercase)
        .zip(addresses)
        .collect()
}

fn write(place: &Place, file: &str, objects: &[Value]) -> Result<(), LabError> {
    let mut text = String::new();
    for object in objects {
        text.push_str("---\n");
        text.push_str(&serde_yaml::to_string(object).map_err(anyhow::Error::new)?);
    }
    let path = directory(place).join(file);
    // An equal file is left alone: nobody needs to read it again.
    if fs::read(&path).is_ok_and(|there| there == text.as_bytes()) {
        return Ok(());
    }
    Ok(replace(&path, text.as_bytes())?)
}

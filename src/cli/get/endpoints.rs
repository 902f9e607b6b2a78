//! Endpoints of each Service, ready ones first, as `kubectl get endpoints` lists them.

use serde_json::{Value, json};

use super::{Listing, Row, join};
use crate::model::{Endpoint, EndpointSlice, NamespacedName, Snapshot};

/// kubectl shows this many endpoints before it says "+ n more...".
const SHOWN: usize = 3;

/// The endpoints of all Services of a snapshot.
pub(super) fn listing(snapshot: &Snapshot) -> Listing {
    let rows = snapshot
        .services
        .keys()
        .chain(
            snapshot
                .slices
                .keys()
                .filter(|name| !snapshot.services.contains_key(*name)),
        )
        .map(|name| row(name, snapshot.slices_of(name)))
        .collect();
    Listing {
        kind: "Endpoints",
        headings: &["NAMESPACE", "NAME", "ENDPOINTS"],
        wide_headings: &["NOT-READY", "NODES"],
        rows,
    }
}

fn row(service: &NamespacedName, slices: &[EndpointSlice]) -> Row {
    let ready = sockets(slices, |endpoint| endpoint.ready);
    let not_ready = sockets(slices, |endpoint| !endpoint.ready);
    let mut nodes: Vec<&str> = slices
        .iter()
        .flat_map(|slice| {
            slice
                .endpoints
                .iter()
                .filter_map(|e| e.node_name.as_deref())
        })
        .collect();
    nodes.sort_unstable();
    nodes.dedup();
    Row {
        namespace: Some(service.namespace.to_string()),
        name: service.name.to_string(),
        cells: vec![
            service.namespace.to_string(),
            service.name.to_string(),
            shorten(&ready),
        ],
        wide_cells: vec![shorten(&not_ready), join(nodes)],
        object: object(service, slices),
    }
}

/// `address:port` of every endpoint that `wanted` lets through, sorted and without repeats.
fn sockets(slices: &[EndpointSlice], wanted: impl Fn(&Endpoint) -> bool) -> Vec<String> {
    let mut all = Vec::new();
    for slice in slices {
        for endpoint in slice.endpoints.iter().filter(|endpoint| wanted(endpoint)) {
            for port in &slice.ports {
                all.push(std::net::SocketAddr::new(endpoint.address, port.port).to_string());
            }
            if slice.ports.is_empty() {
                all.push(endpoint.address.to_string());
            }
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

fn shorten(sockets: &[String]) -> String {
    match sockets.len().checked_sub(SHOWN) {
        Some(more @ 1..) => format!("{} + {more} more...", sockets[..SHOWN].join(",")),
        _ => sockets.join(","),
    }
}

fn object(service: &NamespacedName, slices: &[EndpointSlice]) -> Value {
    let slices: Vec<Value> = slices
        .iter()
        .map(|slice| {
            json!({
                "name": &*slice.name.name,
                "addressType": slice.family.to_string(),
                "ports": slice.ports.iter().map(|port| json!({
                    "name": &*port.name, "protocol": port.protocol.upper(), "port": port.port,
                })).collect::<Vec<_>>(),
                "endpoints": slice.endpoints.iter().map(endpoint_object).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "kind": "ServiceEndpoints",
        "metadata": { "namespace": &*service.namespace, "name": &*service.name },
        "slices": slices,
    })
}

fn endpoint_object(endpoint: &Endpoint) -> Value {
    let mut object = json!({
        "addresses": [endpoint.address],
        "conditions": {
            "ready": endpoint.ready,
            "serving": endpoint.serving,
            "terminating": endpoint.terminating,
        },
    });
    if let Some(node) = &endpoint.node_name {
        object["nodeName"] = json!(&**node);
    }
    if let Some(zone) = &endpoint.zone {
        object["zone"] = json!(&**zone);
    }
    object
}

//! Nodes.

use serde_json::json;

use super::{Listing, Row, join};
use crate::model::{Node, Snapshot};

/// All Nodes of a snapshot.
pub(super) fn listing(snapshot: &Snapshot) -> Listing {
    Listing {
        kind: "Node",
        headings: &["NAME", "ADDRESSES", "ZONE"],
        wide_headings: &["POD-CIDRS"],
        rows: snapshot.nodes.values().map(row).collect(),
    }
}

fn row(node: &Node) -> Row {
    Row {
        namespace: None,
        name: node.name.to_string(),
        cells: vec![
            node.name.to_string(),
            join(&node.addresses),
            node.zone.as_deref().unwrap_or_default().to_owned(),
        ],
        wide_cells: vec![join(&node.pod_cidrs)],
        object: json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": &*node.name,
                "labels": node.zone.as_deref().map(|zone| json!({ "topology.kubernetes.io/zone": zone })),
            },
            "spec": { "podCIDRs": node.pod_cidrs.iter().map(ToString::to_string).collect::<Vec<_>>() },
            "status": { "addresses": node.addresses.iter().map(|ip| json!({ "type": "InternalIP", "address": ip })).collect::<Vec<_>>() },
        }),
    }
}

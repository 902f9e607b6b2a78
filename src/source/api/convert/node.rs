//! Nodes.

use k8s_openapi::api::core::v1 as api;

use super::Interner;
use crate::model::Node;
use crate::source::api::ip::{parse_cidr, parse_ip};
use crate::source::api::{EXCLUDE_LABEL, ZONE_LABEL};

/// The taint that the cluster autoscaler puts on a node before it deletes it.
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

/// The model's form of a Node.
#[must_use]
pub fn node(object: &api::Node, names: &mut Interner) -> Node {
    let labels = object.metadata.labels.as_ref();
    let zone = labels
        .and_then(|labels| labels.get(ZONE_LABEL))
        .map(String::as_str);
    let addresses = object
        .status
        .as_ref()
        .and_then(|status| status.addresses.as_deref());
    let of_type = |wanted: &'static str| {
        let entries = addresses.unwrap_or_default().iter();
        entries
            .filter(move |a| a.type_ == wanted)
            .filter_map(|a| parse_ip(&a.address))
    };
    let spec = object.spec.as_ref();
    let mut pod_cidrs: Vec<&str> = Vec::new();
    if let Some(spec) = spec {
        pod_cidrs.extend(spec.pod_cidrs.iter().flatten().map(String::as_str));
        if pod_cidrs.is_empty() {
            pod_cidrs.extend(spec.pod_cidr.as_deref());
        }
    }
    let taints = spec
        .into_iter()
        .flat_map(|spec| spec.taints.iter().flatten());
    let to_be_deleted = taints.into_iter().any(|taint| taint.key == TO_BE_DELETED);
    let name = object.metadata.name.as_deref().unwrap_or_default();
    Node {
        name: names.intern(&name.to_lowercase()),
        zone: names.intern_some(zone),
        addresses: of_type("InternalIP").chain(of_type("ExternalIP")).collect(),
        pod_cidrs: pod_cidrs
            .into_iter()
            .filter_map(|t| parse_cidr(t).map(|(_, n)| n))
            .collect(),
        no_balancer: no_balancer(object),
        leaving: to_be_deleted || object.metadata.deletion_timestamp.is_some(),
    }
}

/// A node whose readiness nobody has reported is taken to be ready: manifests are written by hand.
fn no_balancer(object: &api::Node) -> bool {
    let labels = object.metadata.labels.as_ref();
    let excluded = labels.is_some_and(|labels| labels.contains_key(EXCLUDE_LABEL));
    let spec = object.spec.as_ref();
    let drained = spec.and_then(|spec| spec.unschedulable).unwrap_or(false);
    let conditions = object.status.as_ref().and_then(|s| s.conditions.as_deref());
    let mut ready = conditions.unwrap_or_default().iter();
    let not_ready = ready.any(|c| c.type_ == "Ready" && c.status != "True");
    excluded || drained || not_ready
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_addresses_come_before_external_ones() {
        let object = serde_json::json!({
            "metadata": {"name": "n1", "labels": {ZONE_LABEL: "za"}},
            "spec": {"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24", "fd00::/64"]},
            "status": {"addresses": [
                {"type": "ExternalIP", "address": "192.0.2.1"},
                {"type": "Hostname", "address": "n1"},
                {"type": "InternalIP", "address": "10.0.0.1"},
            ]},
        });
        let node = node(
            &serde_json::from_value(object).unwrap(),
            &mut Interner::default(),
        );
        assert_eq!(node.zone.as_deref(), Some("za"));
        let addresses: Vec<_> = node.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["10.0.0.1", "192.0.2.1"]);
        assert_eq!(node.pod_cidrs.len(), 2);
        assert!(!node.leaving);
    }

    #[test]
    fn a_node_that_is_being_deleted_is_leaving() {
        let tainted = serde_json::json!({
            "metadata": {"name": "n1"},
            "spec": {"taints": [{"key": TO_BE_DELETED, "effect": "NoSchedule"}]},
        });
        let deleted = serde_json::json!({
            "metadata": {"name": "n1", "deletionTimestamp": "2026-05-01T10:00:00Z"},
        });
        let other = serde_json::json!({
            "metadata": {"name": "n1"},
            "spec": {"taints": [{"key": "dedicated", "effect": "NoSchedule"}]},
        });
        for (object, leaving) in [(tainted, true), (deleted, true), (other, false)] {
            let object = serde_json::from_value(object).unwrap();
            assert_eq!(node(&object, &mut Interner::default()).leaving, leaving);
        }
    }
}

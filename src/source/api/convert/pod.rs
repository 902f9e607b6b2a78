//! Pods, as far as Services need them.

use k8s_openapi::api::core::v1 as api;

use super::{Interner, boxed, object_name, port_number, protocol};
use crate::model::{ContainerPort, Pod};
use crate::source::api::ip::parse_ip;

/// The model's form of a Pod.
///
/// A Pod without any status conditions was written by hand: no kubelet has judged it, so it is
/// ready unless its phase says otherwise.
#[must_use]
pub fn pod(object: api::Pod, names: &mut Interner) -> Pod {
    let status = object.status.unwrap_or_default();
    let spec = object.spec.unwrap_or_default();
    let phase = status.phase.as_deref();
    let ready = match status.conditions.as_deref() {
        None | Some([]) => matches!(phase, None | Some("" | "Running")),
        Some(conditions) => conditions
            .iter()
            .any(|c| c.type_ == "Ready" && c.status == "True"),
    };
    Pod {
        name: object_name(&object.metadata, names),
        ips: addresses(&status),
        ready,
        terminating: object.metadata.deletion_timestamp.is_some(),
        finished: matches!(phase, Some("Succeeded" | "Failed")),
        ports: container_ports(&spec),
        labels: object
            .metadata
            .labels
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.into_boxed_str(), value.into_boxed_str()))
            .collect(),
        node_name: names.intern_some(spec.node_name.as_deref()),
        hostname: boxed(spec.hostname),
        subdomain: boxed(spec.subdomain),
    }
}

fn addresses(status: &api::PodStatus) -> Vec<std::net::IpAddr> {
    let listed: Vec<_> = status
        .pod_ips
        .iter()
        .flatten()
        .filter_map(|entry| parse_ip(&entry.ip))
        .collect();
    if !listed.is_empty() {
        return listed;
    }
    status
        .pod_ip
        .as_deref()
        .and_then(parse_ip)
        .into_iter()
        .collect()
}

/// Ports of the containers and of those init containers that keep running beside them.
fn container_ports(spec: &api::PodSpec) -> Vec<ContainerPort> {
    let sidecars = spec
        .init_containers
        .iter()
        .flatten()
        .filter(|container| container.restart_policy.as_deref() == Some("Always"));
    spec.containers
        .iter()
        .chain(sidecars)
        .flat_map(|container| container.ports.iter().flatten())
        .filter_map(|port| {
            Some(ContainerPort {
                name: port.name.as_deref().unwrap_or_default().into(),
                port: port_number(port.container_port)?,
                protocol: protocol(port.protocol.as_deref())?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(status: &serde_json::Value) -> Pod {
        let object = serde_json::json!({
            "metadata": {"name": "p"},
            "spec": {
                "containers": [{"name": "c", "ports": [{"containerPort": 80, "name": "http"}]}],
                "initContainers": [
                    {"name": "once", "ports": [{"containerPort": 1}]},
                    {"name": "sidecar", "restartPolicy": "Always", "ports": [{"containerPort": 2}]},
                ],
            },
            "status": status,
        });
        pod(
            serde_json::from_value(object).unwrap(),
            &mut Interner::default(),
        )
    }

    #[test]
    fn the_ready_condition_decides() {
        let with = |status: &str| {
            converted(&serde_json::json!({"conditions": [{"type": "Ready", "status": status}]}))
        };
        assert!(with("True").ready);
        assert!(!with("False").ready);
        let unready =
            serde_json::json!({"conditions": [{"type": "Initialized", "status": "True"}]});
        assert!(!converted(&unready).ready);
        assert!(
            converted(&serde_json::json!({"podIP": "10.0.0.1"})).ready,
            "written by hand"
        );
        assert!(!converted(&serde_json::json!({"phase": "Pending"})).ready);
    }

    #[test]
    fn ports_of_containers_and_sidecars_count() {
        let ports: Vec<_> = converted(&serde_json::json!({}))
            .ports
            .iter()
            .map(|p| p.port)
            .collect();
        assert_eq!(ports, [80, 2]);
    }

    #[test]
    fn pod_ips_win_over_pod_ip() {
        let pod = converted(&serde_json::json!({
            "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
            "phase": "Failed",
        }));
        assert_eq!(pod.ips.len(), 2);
        assert!(pod.finished);
    }
}

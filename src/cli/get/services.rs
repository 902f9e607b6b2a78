//! Services as kubectl lists them.

use serde_json::{Value, json};

use super::{Listing, Row, join};
use crate::model::{
    LoadBalancerIngress, Service, ServicePort, ServiceType, Snapshot, TargetPort, TrafficPolicy,
};

/// All Services of a snapshot.
pub(super) fn listing(snapshot: &Snapshot) -> Listing {
    Listing {
        kind: "Service",
        headings: &[
            "NAMESPACE",
            "NAME",
            "TYPE",
            "CLUSTER-IP",
            "EXTERNAL-IP",
            "PORT(S)",
        ],
        wide_headings: &["SELECTOR"],
        rows: snapshot.services.values().map(row).collect(),
    }
}

fn row(service: &Service) -> Row {
    Row {
        namespace: Some(service.name.namespace.to_string()),
        name: service.name.name.to_string(),
        cells: vec![
            service.name.namespace.to_string(),
            service.name.name.to_string(),
            service.service_type.as_str().to_owned(),
            cluster_ip(service),
            external_ip(service),
            join(service.ports.iter().map(port)),
        ],
        wide_cells: vec![join(
            service.selector.iter().map(|(k, v)| format!("{k}={v}")),
        )],
        object: object(service),
    }
}

fn cluster_ip(service: &Service) -> String {
    if service.headless {
        "None".to_owned()
    } else {
        join(&service.cluster_ips)
    }
}

/// What kubectl shows: the external name, or balancer addresses and external IPs.
fn external_ip(service: &Service) -> String {
    if let Some(name) = &service.external_name {
        return name.to_string();
    }
    let ingress = service.ingress.iter().map(ingress_text);
    let all = join(ingress.chain(service.external_ips.iter().map(ToString::to_string)));
    if all.is_empty() && service.service_type == ServiceType::LoadBalancer {
        "<pending>".to_owned()
    } else {
        all
    }
}

fn ingress_text(ingress: &LoadBalancerIngress) -> String {
    match (&ingress.ip, &ingress.hostname) {
        (Some(ip), _) => ip.to_string(),
        (None, Some(name)) => name.to_string(),
        (None, None) => String::new(),
    }
}

fn port(port: &ServicePort) -> String {
    match port.node_port {
        Some(node_port) => format!("{}:{node_port}/{}", port.port, port.protocol),
        None => format!("{}/{}", port.port, port.protocol),
    }
}

fn object(service: &Service) -> Value {
    let ports: Vec<Value> = service.ports.iter().map(port_object).collect();
    let mut spec = json!({
        "type": service.service_type.as_str(),
        "ports": ports,
        "sessionAffinity": if service.affinity_seconds.is_some() { "ClientIP" } else { "None" },
    });
    let mut set = |field: &str, value: Value| spec[field] = value;
    if service.headless {
        set("clusterIP", json!("None"));
        set("clusterIPs", json!(["None"]));
    } else if let Some(first) = service.cluster_ips.first() {
        set("clusterIP", json!(first));
        set("clusterIPs", json!(service.cluster_ips));
    }
    if !service.ip_families.is_empty() {
        let families: Vec<String> = service
            .ip_families
            .iter()
            .map(ToString::to_string)
            .collect();
        set("ipFamilies", json!(families));
    }
    if let Some(seconds) = service.affinity_seconds {
        set(
            "sessionAffinityConfig",
            json!({ "clientIP": { "timeoutSeconds": seconds } }),
        );
    }
    if !service.selector.is_empty() {
        set("selector", json!(service.selector));
    }
    if let Some(name) = &service.external_name {
        set("externalName", json!(name));
    } else {
        set(
            "internalTrafficPolicy",
            json!(policy(service.internal_traffic_policy)),
        );
    }
    if !service.external_ips.is_empty() {
        set("externalIPs", json!(service.external_ips));
    }
    if matches!(
        service.service_type,
        ServiceType::NodePort | ServiceType::LoadBalancer
    ) {
        set(
            "externalTrafficPolicy",
            json!(policy(service.external_traffic_policy)),
        );
    }
    if let Some(port) = service.health_check_node_port {
        set("healthCheckNodePort", json!(port));
    }
    if !service.source_ranges.is_empty() {
        set(
            "loadBalancerSourceRanges",
            json!(join(&service.source_ranges).split(',').collect::<Vec<_>>()),
        );
    }
    let ingress: Vec<Value> = service.ingress.iter().map(ingress_object).collect();
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": { "namespace": &*service.name.namespace, "name": &*service.name.name },
        "spec": spec,
        "status": { "loadBalancer": if ingress.is_empty() { json!({}) } else { json!({ "ingress": ingress }) } },
    })
}

fn port_object(port: &ServicePort) -> Value {
    let mut object = json!({
        "port": port.port,
        "protocol": port.protocol.upper(),
        "targetPort": match &port.target_port {
            TargetPort::Number(number) => json!(number),
            TargetPort::Name(name) => json!(name),
        },
    });
    if !port.name.is_empty() {
        object["name"] = json!(&*port.name);
    }
    if let Some(node_port) = port.node_port {
        object["nodePort"] = json!(node_port);
    }
    object
}

fn ingress_object(ingress: &LoadBalancerIngress) -> Value {
    match (&ingress.ip, &ingress.hostname) {
        (Some(ip), _) => json!({
            "ip": ip,
            "ipMode": match ingress.ip_mode {
                crate::model::IngressMode::Vip => "VIP",
                crate::model::IngressMode::Proxy => "Proxy",
            },
        }),
        (None, hostname) => json!({ "hostname": hostname }),
    }
}

fn policy(policy: TrafficPolicy) -> &'static str {
    match policy {
        TrafficPolicy::Cluster => "Cluster",
        TrafficPolicy::Local => "Local",
    }
}

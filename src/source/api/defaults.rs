//! The defaults that the API server fills in when an object is created (`apis/core/v1` and
//! `apis/discovery/v1` `defaults.go`), as far as they need no allocation.
//!
//! Must not judge: a field that is set keeps its value, right or wrong.

use k8s_openapi::api::core::v1::{
    ClientIPConfig, Endpoints, Pod, Service, ServiceSpec, SessionAffinityConfig,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::is_externally_accessible;

/// Seconds of client affinity where a Service asks for it and does not say how long.
pub const AFFINITY_SECONDS: i32 = 10_800;
const TCP: &str = "TCP";

/// A namespaced object without a namespace is in `default`, as with kubectl.
pub fn namespace(metadata: &mut ObjectMeta) {
    let namespace = metadata.namespace.get_or_insert_default();
    if namespace.is_empty() {
        namespace.push_str("default");
    }
}

/// Gives a missing or empty string its default.
fn string(field: &mut Option<String>, default: &str) {
    if field.as_deref().unwrap_or_default().is_empty() {
        *field = Some(default.to_owned());
    }
}

/// Defaults of a Service.
pub fn service(service: &mut Service) {
    namespace(&mut service.metadata);
    let spec = service.spec.get_or_insert_default();
    string(&mut spec.type_, "ClusterIP");
    affinity(spec);
    for port in spec.ports.iter_mut().flatten() {
        string(&mut port.protocol, TCP);
        let unset = match &port.target_port {
            None | Some(IntOrString::Int(0)) => true,
            Some(IntOrString::String(name)) => name.is_empty(),
            Some(IntOrString::Int(_)) => false,
        };
        if unset {
            port.target_port = Some(IntOrString::Int(port.port));
        }
    }
    let external_name = spec.type_.as_deref() == Some("ExternalName");
    if let Some(ip) = spec
        .cluster_ip
        .as_ref()
        .filter(|ip| !ip.is_empty() && !external_name)
        && spec.cluster_ips.as_ref().is_none_or(Vec::is_empty)
    {
        spec.cluster_ips = Some(vec![ip.clone()]);
    }
    if is_externally_accessible(spec) {
        string(&mut spec.external_traffic_policy, "Cluster");
    }
    if matches!(
        spec.type_.as_deref(),
        Some("ClusterIP" | "NodePort" | "LoadBalancer")
    ) {
        string(&mut spec.internal_traffic_policy, "Cluster");
    }
    if spec.type_.as_deref() == Some("LoadBalancer") {
        spec.allocate_load_balancer_node_ports.get_or_insert(true);
        ingress_modes(service);
    }
}

fn affinity(spec: &mut ServiceSpec) {
    string(&mut spec.session_affinity, "None");
    match spec.session_affinity.as_deref() {
        Some("None") => spec.session_affinity_config = None,
        Some("ClientIP") => {
            let config =
                spec.session_affinity_config
                    .get_or_insert_with(|| SessionAffinityConfig {
                        client_ip: Some(ClientIPConfig::default()),
                    });
            if let Some(client_ip) = &mut config.client_ip {
                client_ip.timeout_seconds.get_or_insert(AFFINITY_SECONDS);
            }
        }
        _ => {}
    }
}

fn ingress_modes(service: &mut Service) {
    let balancer = service
        .status
        .as_mut()
        .and_then(|status| status.load_balancer.as_mut());
    let ingress = balancer.and_then(|balancer| balancer.ingress.as_mut());
    for entry in ingress.into_iter().flatten() {
        if entry.ip.as_ref().is_some_and(|ip| !ip.is_empty()) {
            entry.ip_mode.get_or_insert_with(|| "VIP".to_owned());
        }
    }
}

/// Defaults of an EndpointSlice.
pub fn endpoint_slice(slice: &mut EndpointSlice) {
    namespace(&mut slice.metadata);
    for port in slice.ports.iter_mut().flatten() {
        port.name.get_or_insert_default();
        string(&mut port.protocol, TCP);
    }
}

/// Defaults of an Endpoints object.
pub fn endpoints(endpoints: &mut Endpoints) {
    namespace(&mut endpoints.metadata);
    for subset in endpoints.subsets.iter_mut().flatten() {
        for port in subset.ports.iter_mut().flatten() {
            string(&mut port.protocol, TCP);
        }
    }
}

/// Defaults of a Pod, as far as its Services need them.
pub fn pod(pod: &mut Pod) {
    namespace(&mut pod.metadata);
    let Some(spec) = &mut pod.spec else { return };
    let init = spec.init_containers.iter_mut().flatten();
    for container in spec.containers.iter_mut().chain(init) {
        for port in container.ports.iter_mut().flatten() {
            string(&mut port.protocol, TCP);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaulted(spec: &serde_json::Value) -> ServiceSpec {
        let object = serde_json::json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec,
        });
        let mut object: Service = serde_json::from_value(object).unwrap();
        service(&mut object);
        assert_eq!(object.metadata.namespace.as_deref(), Some("default"));
        object.spec.unwrap()
    }

    #[test]
    fn a_bare_service_is_a_cluster_ip_service() {
        let spec = defaulted(&serde_json::json!({"ports": [{"port": 80}]}));
        assert_eq!(spec.type_.as_deref(), Some("ClusterIP"));
        assert_eq!(spec.session_affinity.as_deref(), Some("None"));
        assert_eq!(spec.internal_traffic_policy.as_deref(), Some("Cluster"));
        assert_eq!(spec.external_traffic_policy, None);
        assert_eq!(spec.allocate_load_balancer_node_ports, None);
        let port = &spec.ports.unwrap()[0];
        assert_eq!(port.protocol.as_deref(), Some("TCP"));
        assert_eq!(port.target_port, Some(IntOrString::Int(80)));
    }

    #[test]
    fn affinity_by_client_ip_lasts_three_hours() {
        for config in [serde_json::json!(null), serde_json::json!({"clientIP": {}})] {
            let spec = defaulted(&serde_json::json!({
                "sessionAffinity": "ClientIP", "sessionAffinityConfig": config,
            }));
            let client_ip = spec.session_affinity_config.unwrap().client_ip.unwrap();
            assert_eq!(client_ip.timeout_seconds, Some(10_800));
        }
        let spec = defaulted(&serde_json::json!({
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 5}},
        }));
        assert_eq!(
            spec.session_affinity_config, None,
            "removed where there is no affinity"
        );
    }

    #[test]
    fn only_services_reachable_from_outside_get_an_external_policy() {
        let node_port = defaulted(&serde_json::json!({"type": "NodePort"}));
        assert_eq!(
            node_port.external_traffic_policy.as_deref(),
            Some("Cluster")
        );
        assert_eq!(node_port.allocate_load_balancer_node_ports, None);
        let external = defaulted(&serde_json::json!({"externalIPs": ["192.0.2.1"]}));
        assert_eq!(external.external_traffic_policy.as_deref(), Some("Cluster"));
        let balancer = defaulted(&serde_json::json!({"type": "LoadBalancer"}));
        assert_eq!(balancer.allocate_load_balancer_node_ports, Some(true));
        let name = defaulted(&serde_json::json!({"type": "ExternalName", "externalName": "a.b"}));
        assert_eq!(
            (name.external_traffic_policy, name.internal_traffic_policy),
            (None, None)
        );
    }

    #[test]
    fn the_first_cluster_ip_fills_the_list() {
        let spec = defaulted(&serde_json::json!({"clusterIP": "10.0.0.1"}));
        assert_eq!(
            spec.cluster_ips.as_deref(),
            Some(&["10.0.0.1".to_owned()][..])
        );
        let spec = defaulted(&serde_json::json!({"clusterIP": ""}));
        assert_eq!(spec.cluster_ips, None);
    }

    #[test]
    fn slice_ports_get_an_empty_name_and_tcp() {
        let mut slice: EndpointSlice = serde_json::from_value(serde_json::json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": "s"}, "addressType": "IPv4", "ports": [{"port": 80}],
        }))
        .unwrap();
        endpoint_slice(&mut slice);
        let port = &slice.ports.unwrap()[0];
        assert_eq!(
            (port.name.as_deref(), port.protocol.as_deref()),
            (Some(""), Some("TCP"))
        );
    }
}

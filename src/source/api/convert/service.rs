//! Services.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as api;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Interner, boxed, object_name, port_number, protocol};
use crate::model::{
    IngressMode, IpFamily, IpFamilyPolicy, LoadBalancerIngress, Service, ServicePort, ServiceType,
    TargetPort, TrafficDistribution, TrafficPolicy,
};
use crate::source::api::ip::{parse_cidr, parse_ip};
use crate::source::api::{OWN_ANNOTATIONS, SERVICE_PROXY_NAME_LABEL, is_headless};

/// The model's form of a defaulted Service. `spec.clusterIPs` may still be empty: allocation
/// comes later.
#[must_use]
pub fn service(object: api::Service, names: &mut Interner) -> Service {
    let metadata = object.metadata;
    let labels = metadata.labels.as_ref();
    let spec = object.spec.unwrap_or_default();
    let headless = is_headless(&spec);
    let service_type = service_type(spec.type_.as_deref());
    let cluster_ips = addresses(spec.cluster_ips.as_deref());
    let mut ip_families: Vec<IpFamily> = spec
        .ip_families
        .iter()
        .flatten()
        .filter_map(|f| family(f))
        .collect();
    // Families that are not given follow from the addresses that are.
    ip_families.extend(
        cluster_ips
            .iter()
            .skip(ip_families.len())
            .map(|&ip| IpFamily::of(ip)),
    );
    Service {
        name: object_name(&metadata, names),
        service_type,
        cluster_ips,
        headless,
        ip_families,
        ip_family_policy: spec.ip_family_policy.as_deref().and_then(family_policy),
        affinity_seconds: affinity_seconds(&spec),
        ports: ports(spec.ports.unwrap_or_default(), names),
        selector: spec
            .selector
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.into_boxed_str(), value.into_boxed_str()))
            .collect(),
        external_name: boxed(spec.external_name)
            .filter(|_| service_type == ServiceType::ExternalName),
        external_ips: addresses(spec.external_ips.as_deref()),
        ingress: ingress(object.status),
        source_ranges: spec
            .load_balancer_source_ranges
            .iter()
            .flatten()
            .filter_map(|text| parse_cidr(text.trim()).map(|(_, net)| net))
            .collect(),
        internal_traffic_policy: policy(spec.internal_traffic_policy.as_deref()),
        external_traffic_policy: policy(spec.external_traffic_policy.as_deref()),
        health_check_node_port: spec.health_check_node_port.and_then(port_number),
        allocate_node_ports: spec.allocate_load_balancer_node_ports.unwrap_or(true),
        traffic_distribution: match spec.traffic_distribution.as_deref() {
            Some("PreferClose" | "PreferSameZone") => Some(TrafficDistribution::PreferSameZone),
            Some("PreferSameNode") => Some(TrafficDistribution::PreferSameNode),
            _ => None,
        },
        publish_not_ready_addresses: spec.publish_not_ready_addresses.unwrap_or_default(),
        other_proxy: labels.is_some_and(|l| l.contains_key(SERVICE_PROXY_NAME_LABEL)),
        annotations: own_annotations(metadata.annotations),
        creation_timestamp: metadata.creation_timestamp.map(|t| t.0.to_string().into()),
    }
}

/// Those that portolan reads.
fn own_annotations(all: Option<BTreeMap<String, String>>) -> BTreeMap<Box<str>, Box<str>> {
    let own = all.into_iter().flatten();
    own.filter(|(key, _)| key.starts_with(OWN_ANNOTATIONS))
        .map(|(key, value)| (key.into_boxed_str(), value.into_boxed_str()))
        .collect()
}

fn service_type(text: Option<&str>) -> ServiceType {
    match text {
        Some("NodePort") => ServiceType::NodePort,
        Some("LoadBalancer") => ServiceType::LoadBalancer,
        Some("ExternalName") => ServiceType::ExternalName,
        _ => ServiceType::ClusterIp,
    }
}

fn family(text: &str) -> Option<IpFamily> {
    IpFamily::ALL
        .into_iter()
        .find(|family| family.to_string() == text)
}

fn family_policy(text: &str) -> Option<IpFamilyPolicy> {
    match text {
        "SingleStack" => Some(IpFamilyPolicy::SingleStack),
        "PreferDualStack" => Some(IpFamilyPolicy::PreferDualStack),
        "RequireDualStack" => Some(IpFamilyPolicy::RequireDualStack),
        _ => None,
    }
}

fn policy(text: Option<&str>) -> TrafficPolicy {
    match text {
        Some("Local") => TrafficPolicy::Local,
        _ => TrafficPolicy::Cluster,
    }
}

/// `None` and anything else that is no address drop out.
fn addresses(texts: Option<&[String]>) -> Vec<std::net::IpAddr> {
    texts
        .unwrap_or_default()
        .iter()
        .filter_map(|text| parse_ip(text))
        .collect()
}

fn affinity_seconds(spec: &api::ServiceSpec) -> Option<u32> {
    if spec.session_affinity.as_deref() != Some("ClientIP") {
        return None;
    }
    let config = spec.session_affinity_config.as_ref()?.client_ip.as_ref()?;
    config
        .timeout_seconds
        .and_then(|seconds| u32::try_from(seconds).ok())
}

fn ports(ports: Vec<api::ServicePort>, names: &mut Interner) -> Vec<ServicePort> {
    let convert = |port: api::ServicePort| {
        Some(ServicePort {
            name: names.intern(port.name.as_deref().unwrap_or_default()),
            protocol: protocol(port.protocol.as_deref())?,
            port: port_number(port.port)?,
            target_port: match port.target_port {
                Some(IntOrString::String(name)) => TargetPort::Name(name.into()),
                Some(IntOrString::Int(number)) => TargetPort::Number(port_number(number)?),
                None => TargetPort::Number(port_number(port.port)?),
            },
            node_port: port.node_port.and_then(port_number),
        })
    };
    ports.into_iter().filter_map(convert).collect()
}

fn ingress(status: Option<api::ServiceStatus>) -> Vec<LoadBalancerIngress> {
    let balancer = status.and_then(|status| status.load_balancer);
    let entries = balancer
        .and_then(|balancer| balancer.ingress)
        .unwrap_or_default();
    let convert = |entry: api::LoadBalancerIngress| LoadBalancerIngress {
        ip: entry.ip.as_deref().and_then(parse_ip),
        hostname: boxed(entry.hostname),
        ip_mode: match entry.ip_mode.as_deref() {
            Some("Proxy") => IngressMode::Proxy,
            _ => IngressMode::Vip,
        },
    };
    entries.into_iter().map(convert).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::api::defaults;

    fn converted(object: serde_json::Value) -> Service {
        let mut object: api::Service = serde_json::from_value(object).unwrap();
        defaults::service(&mut object);
        service(object, &mut Interner::default())
    }

    #[test]
    fn families_follow_from_the_addresses_given() {
        let service = converted(serde_json::json!({
            "metadata": {"name": "web"},
            "spec": {"clusterIP": "fd00::1", "clusterIPs": ["fd00::1", "10.0.0.010"]},
        }));
        assert_eq!(service.ip_families, [IpFamily::V6, IpFamily::V4]);
        assert_eq!(service.cluster_ips[1].to_string(), "10.0.0.10");
        assert_eq!(service.name.to_string(), "default/web");
    }

    #[test]
    fn headless_has_no_address() {
        let service = converted(serde_json::json!({
            "metadata": {"name": "web", "labels": {SERVICE_PROXY_NAME_LABEL: ""}},
            "spec": {"clusterIP": "None", "externalName": "ignored.example"},
        }));
        assert!(service.headless && service.cluster_ips.is_empty() && service.other_proxy);
        assert_eq!(service.external_name, None);
    }

    #[test]
    fn source_ranges_are_trimmed_and_normalised() {
        let service = converted(serde_json::json!({
            "metadata": {"name": "web"},
            "spec": {"type": "LoadBalancer", "loadBalancerSourceRanges": [" 10.1.2.3/8 "]},
            "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1", "ipMode": "Proxy"}]}},
        }));
        assert_eq!(service.source_ranges[0].to_string(), "10.0.0.0/8");
        assert_eq!(service.ingress[0].ip_mode, IngressMode::Proxy);
    }
}

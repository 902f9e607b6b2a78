//! Services as a whole: type, affinity, policies, and what goes with which type.

use k8s_openapi::api::core::v1::{Service, ServiceSpec};

use super::{cluster_ips, external, metadata, service_ports, status, warnings};
use crate::model::{SCHEDULER_ANNOTATION, Scheduler, WEIGHT_ANNOTATION, Weights};
use crate::source::api::{Findings, Path, is_headless, names};

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const POLICIES: [&str; 2] = ["Cluster", "Local"];
const DISTRIBUTIONS: [&str; 3] = ["PreferClose", "PreferSameNode", "PreferSameZone"];
/// The longest client affinity, in seconds: a day.
const MAX_AFFINITY_SECONDS: i32 = 86_400;
const HINTS_ANNOTATION: &str = "service.kubernetes.io/topology-aware-hints";
const MODE_ANNOTATION: &str = "service.kubernetes.io/topology-mode";

/// Checks a defaulted Service.
pub fn service(object: &Service, findings: &mut Findings) {
    metadata::namespaced(&object.metadata, names::dns1123_label, findings);
    topology_annotations(object, findings);
    ipvs_annotations(object, findings);
    let Some(spec) = &object.spec else { return };
    let path = Path::new("spec");
    by_type(spec, &path, findings);
    service_ports::ports(spec, &path, findings);
    if let Some(selector) = &spec.selector {
        metadata::labels(selector, &path.child("selector"), findings);
    }
    affinity(spec, &path, findings);
    cluster_ips::cluster_ips(spec, &path, findings);
    external::external(object, spec, &path, findings);
    if let Some(policy) = &spec.internal_traffic_policy {
        findings.one_of(&path.child("internalTrafficPolicy"), policy, &POLICIES);
    }
    if let Some(distribution) = &spec.traffic_distribution {
        findings.one_of(
            &path.child("trafficDistribution"),
            distribution,
            &DISTRIBUTIONS,
        );
    }
    status::load_balancer(object, findings);
    warnings::service(spec, &path, findings);
}

/// A wrong annotation of ours would be a Service that does not do what its author thinks.
fn ipvs_annotations(object: &Service, findings: &mut Findings) {
    let Some(annotations) = &object.metadata.annotations else {
        return;
    };
    let path = Path::new("metadata");
    let path = path.child("annotations");
    let mut check = |name: &str, error: &dyn Fn(&str) -> Option<String>| {
        if let Some(value) = annotations.get(name) {
            findings.invalid_each(&path.key(name), value, error(value).into_iter().collect());
        }
    };
    check(SCHEDULER_ANNOTATION, &|value| {
        value.trim().parse::<Scheduler>().err()
    });
    check(WEIGHT_ANNOTATION, &|value| Weights::parse(value).err());
}

fn topology_annotations(object: &Service, findings: &mut Findings) {
    let Some(annotations) = &object.metadata.annotations else {
        return;
    };
    let (hints, mode) = (
        annotations.get(HINTS_ANNOTATION),
        annotations.get(MODE_ANNOTATION),
    );
    if let (Some(hints), Some(mode)) = (hints, mode)
        && hints != mode
    {
        let detail = format!("must match annotations[{HINTS_ANNOTATION}] when both are specified");
        let path = Path::new("metadata");
        let path = path.child("annotations");
        findings.invalid(&path.key(MODE_ANNOTATION), mode, detail);
    }
    if hints.is_some() {
        findings.warn(format!(
            "annotation {HINTS_ANNOTATION} is deprecated, please use {MODE_ANNOTATION} instead"
        ));
    }
}

fn by_type(spec: &ServiceSpec, path: &Path<'_>, findings: &mut Findings) {
    let service_type = spec.type_.as_deref().unwrap_or_default();
    let headless = is_headless(spec);
    if spec.ports.as_ref().is_none_or(Vec::is_empty) && !headless && service_type != "ExternalName"
    {
        findings.required(&path.child("ports"), "");
    }
    match service_type {
        "LoadBalancer" | "NodePort" if headless => {
            let detail = format!("may not be set to 'None' for {service_type} services");
            findings.invalid(&path.child("clusterIPs").index(0), "None", detail);
        }
        "ExternalName" => external_name(spec, path, findings),
        _ => {}
    }
    findings.one_of(&path.child("type"), service_type, &TYPES);
}

fn external_name(spec: &ServiceSpec, path: &Path<'_>, findings: &mut Findings) {
    let mut forbid = |set: bool, field: &str| {
        if set {
            findings.forbidden(
                &path.child(field),
                "may not be set for ExternalName services",
            );
        }
    };
    let cluster_ip = spec.cluster_ip.as_ref().is_some_and(|ip| !ip.is_empty());
    let cluster_ips = spec.cluster_ips.as_ref().is_some_and(|ips| !ips.is_empty());
    forbid(cluster_ip || cluster_ips, "clusterIPs");
    forbid(
        spec.ip_families
            .as_ref()
            .is_some_and(|families| !families.is_empty()),
        "ipFamilies",
    );
    forbid(spec.ip_family_policy.is_some(), "ipFamilyPolicy");
    let path = path.child("externalName");
    let name = spec.external_name.as_deref().unwrap_or_default();
    match name.strip_suffix('.').unwrap_or(name) {
        "" => findings.required(&path, ""),
        name => findings.invalid_each(&path, name, names::dns1123_subdomain(name)),
    }
}

fn affinity(spec: &ServiceSpec, path: &Path<'_>, findings: &mut Findings) {
    let affinity = spec.session_affinity.as_deref().unwrap_or_default();
    findings.one_of(
        &path.child("sessionAffinity"),
        affinity,
        &["ClientIP", "None"],
    );
    if affinity != "ClientIP" {
        return;
    }
    let path = path.child("sessionAffinityConfig");
    let detail = "when session affinity type is ClientIP";
    let Some(config) = &spec.session_affinity_config else {
        findings.required(&path, detail);
        return;
    };
    let path = path.child("clientIP");
    let Some(client_ip) = &config.client_ip else {
        findings.required(&path, detail);
        return;
    };
    let seconds = client_ip.timeout_seconds.unwrap_or_default();
    if !(1..=MAX_AFFINITY_SECONDS).contains(&seconds) {
        let detail = format!("must be greater than 0 and less than {MAX_AFFINITY_SECONDS}");
        findings.invalid(&path.child("timeoutSeconds"), seconds, detail);
    }
}

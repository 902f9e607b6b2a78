//! What the API server says about a Service in `Warning:` headers: nothing is wrong, but something
//! is deprecated or has no effect.

use k8s_openapi::api::core::v1::ServiceSpec;

use crate::source::api::{Findings, Path, ip, is_headless};

/// Warns. Odd spellings of addresses are warned about where they are checked.
pub(super) fn service(spec: &ServiceSpec, path: &Path<'_>, findings: &mut Findings) {
    let external_name = spec.type_.as_deref() == Some("ExternalName");
    let external_ips = spec
        .external_ips
        .as_ref()
        .is_some_and(|ips| !ips.is_empty());
    let balancer_ip = spec
        .load_balancer_ip
        .as_deref()
        .filter(|text| !text.is_empty());
    if is_headless(spec) {
        if balancer_ip.is_some() {
            findings.warn("spec.loadBalancerIP is ignored for headless services");
        }
        if external_ips {
            findings.warn("spec.externalIPs is ignored for headless services");
        }
        if spec.session_affinity.as_deref() == Some("ClientIP") {
            findings.warn("spec.sessionAffinity is ignored for headless services");
        }
    } else if external_ips && external_name {
        findings.warn("spec.externalIPs is ignored when spec.type is \"ExternalName\"");
    } else if external_ips {
        findings.warn(
            "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
        );
    }
    // The API server takes any text here; kube-proxy never reads it.
    if let Some((text, address)) = balancer_ip.and_then(|t| ip::parse_ip(t).map(|ip| (t, ip))) {
        ip::note_sloppy_ip(findings, &path.child("loadBalancerIP"), text, address);
    }
    if !external_name
        && spec
            .external_name
            .as_ref()
            .is_some_and(|name| !name.is_empty())
    {
        findings.warn("spec.externalName is ignored when spec.type is not \"ExternalName\"");
    }
    if spec.traffic_distribution.as_deref() == Some("PreferClose") {
        findings.warn(
            "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"",
        );
    }
}

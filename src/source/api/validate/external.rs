//! How a Service is reached from outside: external IPs, load-balancer fields, external traffic
//! policy.

use k8s_openapi::api::core::v1::{Service, ServiceSpec};

use crate::source::api::{Findings, Path, ip, is_externally_accessible, names};

const ONLY_LOAD_BALANCER: &str = "may only be used when `type` is 'LoadBalancer'";
const SOURCE_RANGES_ANNOTATION: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

/// Checks all of it.
pub(super) fn external(
    object: &Service,
    spec: &ServiceSpec,
    path: &Path<'_>,
    findings: &mut Findings,
) {
    let field = path.child("externalIPs");
    for (i, text) in spec.external_ips.iter().flatten().enumerate() {
        let field = field.index(i);
        if let Some(address) = ip::check_ip(findings, &field, text) {
            ip::check_not_special(findings, &field, text, address);
        }
    }
    let load_balancer = spec.type_.as_deref() == Some("LoadBalancer");
    source_ranges(object, spec, load_balancer, path, findings);
    if spec.allocate_load_balancer_node_ports.is_some() && !load_balancer {
        findings.forbidden(
            &path.child("allocateLoadBalancerNodePorts"),
            ONLY_LOAD_BALANCER,
        );
    }
    if let Some(class) = &spec.load_balancer_class {
        let field = path.child("loadBalancerClass");
        if load_balancer {
            findings.invalid_each(&field, class, names::qualified_name(class));
        } else {
            findings.forbidden(&field, ONLY_LOAD_BALANCER);
        }
    }
    traffic_policy(spec, load_balancer, path, findings);
}

fn source_ranges(
    object: &Service,
    spec: &ServiceSpec,
    load_balancer: bool,
    path: &Path<'_>,
    findings: &mut Findings,
) {
    if let Some(ranges) = spec
        .load_balancer_source_ranges
        .as_ref()
        .filter(|r| !r.is_empty())
    {
        let field = path.child("loadBalancerSourceRanges");
        if !load_balancer {
            findings.forbidden(&field, ONLY_LOAD_BALANCER);
        }
        for (i, range) in ranges.iter().enumerate() {
            // Blanks around them are allowed, as they were in the annotation this field came from.
            ip::check_cidr(findings, &field.index(i), range.trim());
        }
        return;
    }
    let annotations = object.metadata.annotations.as_ref();
    let Some(ranges) = annotations.and_then(|all| all.get(SOURCE_RANGES_ANNOTATION)) else {
        return;
    };
    let metadata = Path::new("metadata");
    let annotations = metadata.child("annotations");
    let field = annotations.key(SOURCE_RANGES_ANNOTATION);
    if !load_balancer {
        findings.forbidden(&field, ONLY_LOAD_BALANCER);
    }
    for range in ranges
        .split(',')
        .map(str::trim)
        .filter(|_| !ranges.trim().is_empty())
    {
        ip::check_cidr(findings, &field, range);
    }
}

fn traffic_policy(
    spec: &ServiceSpec,
    load_balancer: bool,
    path: &Path<'_>,
    findings: &mut Findings,
) {
    let field = path.child("externalTrafficPolicy");
    let policy = spec.external_traffic_policy.as_deref().unwrap_or_default();
    if is_externally_accessible(spec) {
        findings.one_of(&field, policy, &["Cluster", "Local"]);
    } else if !policy.is_empty() {
        findings.invalid(
            &field,
            policy,
            "may only be set for externally-accessible services",
        );
    }
    let field = path.child("healthCheckNodePort");
    let port = spec.health_check_node_port.unwrap_or_default();
    if port == 0 {
        // Where one is needed, it is allocated later.
        return;
    }
    if load_balancer && policy == "Local" {
        findings.in_range(&field, port, 1, 65535);
    } else {
        let detail =
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        findings.invalid(&field, port, detail);
    }
}

//! `status.loadBalancer` of a Service: a manifest is the complete state here, so it is read.

use k8s_openapi::api::core::v1::Service;

use crate::source::api::{Findings, Path, ip, names};

/// Checks the addresses that an outside balancer gave.
pub(super) fn load_balancer(object: &Service, findings: &mut Findings) {
    let balancer = object
        .status
        .as_ref()
        .and_then(|status| status.load_balancer.as_ref());
    let Some(ingress) = balancer
        .and_then(|b| b.ingress.as_ref())
        .filter(|i| !i.is_empty())
    else {
        return;
    };
    let status = Path::new("status");
    let balancer = status.child("loadBalancer");
    let path = balancer.child("ingress");
    let service_type = object.spec.as_ref().and_then(|spec| spec.type_.as_deref());
    if service_type != Some("LoadBalancer") {
        findings.forbidden(&path, "may only be used when `spec.type` is 'LoadBalancer'");
        return;
    }
    for (i, entry) in ingress.iter().enumerate() {
        let path = path.index(i);
        let text = entry.ip.as_deref().unwrap_or_default();
        if !text.is_empty() {
            ip::check_ip(findings, &path.child("ip"), text);
        }
        match &entry.ip_mode {
            Some(_) if text.is_empty() => {
                findings.forbidden(
                    &path.child("ipMode"),
                    "may not be specified when `ip` is not set",
                );
            }
            Some(mode) => findings.one_of(&path.child("ipMode"), mode, &["Proxy", "VIP"]),
            None => {}
        }
        if let Some(name) = entry.hostname.as_deref().filter(|name| !name.is_empty()) {
            let path = path.child("hostname");
            findings.invalid_each(&path, name, names::dns1123_subdomain(name));
            if ip::parse_ip(name).is_some() {
                findings.invalid(&path, name, "must be a DNS name, not an IP address");
            }
        }
    }
}

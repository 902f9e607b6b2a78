//! Pods, as far as Services need them: names, addresses, container ports. Everything else of a Pod
//! is the kubelet's business.

use k8s_openapi::api::core::v1::{Container, Pod};

use super::{PROTOCOLS, metadata};
use crate::source::api::{Findings, Path, ip, names};

/// Checks a defaulted Pod.
pub fn pod(object: &Pod, findings: &mut Findings) {
    metadata::namespaced(&object.metadata, names::dns1123_subdomain, findings);
    if let Some(spec) = &object.spec {
        let path = Path::new("spec");
        check_label(spec.hostname.as_deref(), &path.child("hostname"), findings);
        check_label(
            spec.subdomain.as_deref(),
            &path.child("subdomain"),
            findings,
        );
        if let Some(name) = spec.node_name.as_deref().filter(|name| !name.is_empty()) {
            findings.invalid_each(
                &path.child("nodeName"),
                name,
                names::dns1123_subdomain(name),
            );
        }
        containers(&spec.containers, &path.child("containers"), findings);
        let init = spec.init_containers.as_deref().unwrap_or_default();
        containers(init, &path.child("initContainers"), findings);
    }
    let Some(status) = &object.status else { return };
    let path = Path::new("status");
    if let Some(text) = status.pod_ip.as_deref().filter(|text| !text.is_empty()) {
        ip::check_ip(findings, &path.child("podIP"), text);
    }
    let field = path.child("podIPs");
    for (i, entry) in status.pod_ips.iter().flatten().enumerate() {
        let entry_path = field.index(i);
        // The first one repeats `podIP`, which has been judged.
        if status.pod_ip.as_ref() != Some(&entry.ip) {
            ip::check_ip(findings, &entry_path.child("ip"), &entry.ip);
        }
    }
}

fn check_label(label: Option<&str>, path: &Path<'_>, findings: &mut Findings) {
    if let Some(label) = label.filter(|label| !label.is_empty()) {
        findings.invalid_each(path, label, names::dns1123_label(label));
    }
}

fn containers(containers: &[Container], path: &Path<'_>, findings: &mut Findings) {
    for (i, container) in containers.iter().enumerate() {
        let path = path.index(i);
        let path = path.child("ports");
        let mut seen: Vec<&str> = Vec::new();
        for (i, port) in container.ports.iter().flatten().enumerate() {
            let path = path.index(i);
            findings.in_range(&path.child("containerPort"), port.container_port, 1, 65535);
            let protocol = port.protocol.as_deref().unwrap_or_default();
            findings.one_of(&path.child("protocol"), protocol, &PROTOCOLS);
            let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) else {
                continue;
            };
            findings.invalid_each(&path.child("name"), name, names::port_name(name));
            if seen.contains(&name) {
                findings.duplicate(&path.child("name"), name);
            }
            seen.push(name);
        }
    }
}

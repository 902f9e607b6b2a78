//! Endpoints objects.

use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, Endpoints};

use super::{PROTOCOLS, metadata};
use crate::source::api::{Findings, Path, ip, names};

/// Checks a defaulted Endpoints object.
pub fn endpoints(object: &Endpoints, findings: &mut Findings) {
    metadata::namespaced(&object.metadata, names::dns1123_subdomain, findings);
    let path = Path::new("subsets");
    for (i, subset) in object.subsets.iter().flatten().enumerate() {
        let path = path.index(i);
        let ready = subset.addresses.as_deref().unwrap_or_default();
        let not_ready = subset.not_ready_addresses.as_deref().unwrap_or_default();
        if ready.is_empty() && not_ready.is_empty() {
            findings.required(&path, "must specify `addresses` or `notReadyAddresses`");
        }
        for (field, addresses) in [("addresses", ready), ("notReadyAddresses", not_ready)] {
            let path = path.child(field);
            for (i, address) in addresses.iter().enumerate() {
                check_address(address, &path.index(i), findings);
            }
        }
        let ports = subset.ports.as_deref().unwrap_or_default();
        let path = path.child("ports");
        for (i, port) in ports.iter().enumerate() {
            check_port(port, ports.len() > 1, &path.index(i), findings);
        }
    }
}

fn check_address(address: &EndpointAddress, path: &Path<'_>, findings: &mut Findings) {
    let field = path.child("ip");
    if let Some(ip) = ip::check_ip(findings, &field, &address.ip) {
        ip::check_not_special(findings, &field, &address.ip, ip);
    }
    if let Some(name) = address.hostname.as_deref().filter(|name| !name.is_empty()) {
        findings.invalid_each(&path.child("hostname"), name, names::dns1123_label(name));
    }
    if let Some(name) = &address.node_name {
        findings.invalid_each(
            &path.child("nodeName"),
            name,
            names::dns1123_subdomain(name),
        );
    }
}

fn check_port(port: &EndpointPort, name_required: bool, path: &Path<'_>, findings: &mut Findings) {
    match port.name.as_deref().unwrap_or_default() {
        "" if name_required => findings.required(&path.child("name"), ""),
        "" => {}
        name => findings.invalid_each(&path.child("name"), name, names::dns1123_label(name)),
    }
    findings.in_range(&path.child("port"), port.port, 1, 65535);
    let protocol = port.protocol.as_deref().unwrap_or_default();
    findings.one_of(&path.child("protocol"), protocol, &PROTOCOLS);
    if let Some(protocol) = &port.app_protocol {
        let errors = names::qualified_name(protocol);
        findings.invalid_each(&path.child("appProtocol"), protocol, errors);
    }
}

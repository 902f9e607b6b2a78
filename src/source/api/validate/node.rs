//! Nodes, as far as Services need them: name, pod CIDRs, addresses.

use k8s_openapi::api::core::v1::Node;

use super::metadata;
use crate::source::api::{Findings, Path, ip, names};

/// Checks a Node.
pub fn node(object: &Node, findings: &mut Findings) {
    metadata::cluster_scoped(&object.metadata, names::dns1123_subdomain, findings);
    pod_cidrs(object, findings);
    let status = Path::new("status");
    let path = status.child("addresses");
    let addresses = object
        .status
        .as_ref()
        .and_then(|status| status.addresses.as_deref());
    for (i, address) in addresses.unwrap_or_default().iter().enumerate() {
        // Host names are listed there too.
        if matches!(address.type_.as_str(), "InternalIP" | "ExternalIP") {
            let path = path.index(i);
            ip::check_ip(findings, &path.child("address"), &address.address);
        }
    }
}

fn pod_cidrs(object: &Node, findings: &mut Findings) {
    let Some(spec) = &object.spec else { return };
    let none = Vec::new();
    let texts = spec.pod_cidrs.as_ref().unwrap_or(&none);
    let path = Path::new("spec");
    let field = path.child("podCIDRs");
    match (spec.pod_cidr.as_deref().unwrap_or_default(), texts.first()) {
        ("", _) => {}
        (single, None) => {
            ip::check_cidr(findings, &path.child("podCIDR"), single);
        }
        (single, Some(first)) if first != single => {
            findings.invalid(&field, texts, "first value must match `podCIDR`");
        }
        _ => {}
    }
    let mut families = Vec::new();
    for (i, text) in texts.iter().enumerate() {
        let net = ip::check_cidr(findings, &field.index(i), text);
        families.extend(net.map(|net| net.addr().is_ipv4()));
        if texts[..i].contains(text) {
            findings.duplicate(&field.index(i), text);
        }
    }
    let dual_stack = families.len() == 2 && families[0] != families[1];
    if texts.len() > 1 && families.len() == texts.len() && !dual_stack {
        findings.invalid(
            &field,
            texts,
            "may specify no more than one CIDR for each IP family",
        );
    }
}

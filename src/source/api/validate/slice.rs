//! EndpointSlices.

use std::collections::{BTreeSet, HashSet};

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointHints, EndpointPort, EndpointSlice};

use super::{PROTOCOLS, metadata};
use crate::source::api::{Findings, Path, Reason, ip, names};

const ADDRESS_TYPES: [&str; 3] = ["FQDN", "IPv4", "IPv6"];
const MAX_ENDPOINTS: usize = 1000;
const MAX_ADDRESSES: usize = 100;
const MAX_PORTS: usize = 20_000;
const MAX_HINTS: usize = 8;
const MAX_TOPOLOGY_LABELS: usize = 16;

/// Checks a defaulted EndpointSlice.
pub fn endpoint_slice(object: &EndpointSlice, findings: &mut Findings) {
    metadata::namespaced(&object.metadata, names::dns1123_subdomain, findings);
    match object.address_type.as_str() {
        "" => findings.required(&Path::new("addressType"), ""),
        address_type => findings.one_of(&Path::new("addressType"), address_type, &ADDRESS_TYPES),
    }
    let path = Path::new("endpoints");
    let endpoints = object.endpoints.as_deref().unwrap_or_default();
    if at_most(MAX_ENDPOINTS, endpoints.len(), &path, findings) {
        for (i, endpoint) in endpoints.iter().enumerate() {
            check_endpoint(endpoint, &object.address_type, &path.index(i), findings);
        }
    }
    let path = Path::new("ports");
    let ports = object.ports.as_deref().unwrap_or_default();
    if at_most(MAX_PORTS, ports.len(), &path, findings) {
        let mut names = HashSet::new();
        for (i, port) in ports.iter().enumerate() {
            check_port(port, &mut names, &path.index(i), findings);
        }
    }
}

fn at_most(most: usize, actual: usize, path: &Path<'_>, findings: &mut Findings) -> bool {
    if actual > most {
        findings.push(path, Reason::TooMany(actual, most));
    }
    actual <= most
}

fn check_endpoint(
    endpoint: &Endpoint,
    address_type: &str,
    path: &Path<'_>,
    findings: &mut Findings,
) {
    let addresses = path.child("addresses");
    if endpoint.addresses.is_empty() {
        findings.required(&addresses, "must contain at least 1 address");
    }
    at_most(
        MAX_ADDRESSES,
        endpoint.addresses.len(),
        &addresses,
        findings,
    );
    for (i, text) in endpoint.addresses.iter().enumerate() {
        let path = addresses.index(i);
        match address_type {
            "IPv4" | "IPv6" => check_address(text, address_type, &path, findings),
            "FQDN" => findings.invalid_each(&path, text, names::fully_qualified_domain_name(text)),
            _ => {}
        }
    }
    if let Some(topology) = &endpoint.deprecated_topology {
        let path = path.child("deprecatedTopology");
        at_most(MAX_TOPOLOGY_LABELS, topology.len(), &path, findings);
        metadata::labels(topology, &path, findings);
    }
    if let Some(name) = &endpoint.node_name {
        findings.invalid_each(
            &path.child("nodeName"),
            name,
            names::dns1123_subdomain(name),
        );
    }
    if let Some(name) = &endpoint.hostname {
        findings.invalid_each(&path.child("hostname"), name, names::dns1123_label(name));
    }
    if let Some(hints) = &endpoint.hints {
        check_hints(hints, &path.child("hints"), findings);
    }
}

fn check_address(text: &str, address_type: &str, path: &Path<'_>, findings: &mut Findings) {
    match ip::parse_ip(text) {
        Some(ip) if ip.is_ipv4() == (address_type == "IPv4") => {
            ip::note_sloppy_ip(findings, path, text, ip);
            ip::check_not_special(findings, path, text, ip);
        }
        _ => findings.invalid(
            path,
            text,
            format!("must be a valid {address_type} address"),
        ),
    }
}

fn check_hints(hints: &EndpointHints, path: &Path<'_>, findings: &mut Findings) {
    let mut check = |field: &str, values: Vec<&str>, format: metadata::NameFormat| {
        let path = path.child(field);
        if !at_most(MAX_HINTS, values.len(), &path, findings) {
            return;
        }
        let mut seen = BTreeSet::new();
        for (i, value) in values.into_iter().enumerate() {
            let path = path.index(i);
            let path = path.child("name");
            if !seen.insert(value) {
                findings.duplicate(&path, value);
            }
            findings.invalid_each(&path, value, format(value));
        }
    };
    let zones = hints
        .for_zones
        .iter()
        .flatten()
        .map(|zone| zone.name.as_str())
        .collect();
    check("forZones", zones, names::label_value);
    let nodes = hints
        .for_nodes
        .iter()
        .flatten()
        .map(|node| node.name.as_str())
        .collect();
    check("forNodes", nodes, names::dns1123_subdomain);
}

fn check_port<'p>(
    port: &'p EndpointPort,
    names: &mut HashSet<&'p str>,
    path: &Path<'_>,
    findings: &mut Findings,
) {
    let name = port.name.as_deref().unwrap_or_default();
    if !name.is_empty() {
        findings.invalid_each(&path.child("name"), name, names::dns1123_label(name));
    }
    if !names.insert(name) {
        findings.duplicate(&path.child("name"), name);
    }
    let protocol = port.protocol.as_deref().unwrap_or_default();
    findings.one_of(&path.child("protocol"), protocol, &PROTOCOLS);
    if let Some(protocol) = &port.app_protocol {
        let errors = names::qualified_name(protocol);
        findings.invalid_each(&path.child("appProtocol"), protocol, errors);
    }
    match port.port {
        // The API server takes any number; kube-proxy skips 0, and no packet has the others.
        Some(number) if !(0..=65535).contains(&number) => {
            findings.warn(format!(
                "{}: {number} is no port number: ignored",
                path.child("port")
            ));
        }
        _ => {}
    }
}

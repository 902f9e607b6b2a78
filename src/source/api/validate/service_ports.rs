//! `spec.ports` of a Service.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::PROTOCOLS;
use crate::source::api::{Findings, Path, Shown, names};

/// Checks every port by itself and all of them against each other.
pub(super) fn ports(spec: &ServiceSpec, path: &Path<'_>, findings: &mut Findings) {
    let ports = spec.ports.as_deref().unwrap_or_default();
    let path = path.child("ports");
    let mut names = HashSet::new();
    for (i, port) in ports.iter().enumerate() {
        let path = path.index(i);
        name(port, ports.len() > 1, &mut names, &path, findings);
        numbers(port, &path, findings);
    }
    let cluster_ip = spec.type_.as_deref() == Some("ClusterIP");
    let mut node_ports = HashSet::new();
    for (i, port) in ports.iter().enumerate() {
        let Some(node_port) = port.node_port.filter(|&node_port| node_port != 0) else {
            continue;
        };
        let path = path.index(i);
        let path = path.child("nodePort");
        if cluster_ip {
            findings.forbidden(&path, "may not be used when `type` is 'ClusterIP'");
        }
        if !node_ports.insert((port.protocol.as_deref(), node_port)) {
            findings.duplicate(&path, node_port);
        }
    }
    let mut front_ends = HashSet::new();
    for (i, port) in ports.iter().enumerate() {
        if !front_ends.insert((port.protocol.as_deref(), port.port)) {
            let protocol = port.protocol.as_deref().unwrap_or_default();
            findings.duplicate(&path.index(i), Shown::port(port.port, protocol));
        }
    }
}

fn name<'p>(
    port: &'p ServicePort,
    required: bool,
    names: &mut HashSet<&'p str>,
    path: &Path<'_>,
    findings: &mut Findings,
) {
    let path = path.child("name");
    match port.name.as_deref().unwrap_or_default() {
        "" if required => findings.required(&path, ""),
        "" => {}
        name => {
            findings.invalid_each(&path, name, names::dns1123_label(name));
            if !names.insert(name) {
                findings.duplicate(&path, name);
            }
        }
    }
}

fn numbers(port: &ServicePort, path: &Path<'_>, findings: &mut Findings) {
    findings.in_range(&path.child("port"), port.port, 1, 65535);
    let protocol = port.protocol.as_deref().unwrap_or_default();
    findings.one_of(&path.child("protocol"), protocol, &PROTOCOLS);
    match &port.target_port {
        // Where it is not given, it is the port, which has been judged above.
        Some(IntOrString::Int(number)) if *number != port.port => {
            findings.in_range(&path.child("targetPort"), *number, 1, 65535);
        }
        Some(IntOrString::String(name)) => {
            findings.invalid_each(&path.child("targetPort"), name, names::port_name(name));
        }
        _ => {}
    }
    if let Some(protocol) = &port.app_protocol {
        let errors = names::qualified_name(protocol);
        findings.invalid_each(&path.child("appProtocol"), protocol, errors);
    }
    // The allocator knows the cluster's range; here only what can be no port at all.
    let node_port = port.node_port.unwrap_or_default();
    if node_port != 0 {
        findings.in_range(&path.child("nodePort"), node_port, 1, 65535);
    }
}

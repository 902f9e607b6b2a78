//! Endpoints objects, mirrored into slices as the endpoint-slice mirroring controller does.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as api;

use super::slice::target_pod;
use super::{Interner, boxed, object_name, port_number, protocol};
use crate::model::{Endpoint, EndpointPort, EndpointSlice, IpFamily, NamespacedName};
use crate::source::api::ip::parse_ip;

/// The slices of a defaulted Endpoints object: one for each family and set of ports. They carry
/// no zones, as an Endpoints object knows none.
#[must_use]
pub fn endpoints(object: api::Endpoints, names: &mut Interner) -> Vec<EndpointSlice> {
    let service = object_name(&object.metadata, names);
    let mut slices: BTreeMap<(IpFamily, Vec<PortKey>), EndpointSlice> = BTreeMap::new();
    for subset in object.subsets.into_iter().flatten() {
        let ports: Vec<EndpointPort> = subset
            .ports
            .into_iter()
            .flatten()
            .filter_map(|port| mirrored_port(&port, names))
            .collect();
        let ready = subset
            .addresses
            .into_iter()
            .flatten()
            .map(|address| (address, true));
        let not_ready = subset
            .not_ready_addresses
            .into_iter()
            .flatten()
            .map(|address| (address, false));
        for (address, ready) in ready.chain(not_ready) {
            let Some(endpoint) = mirrored_endpoint(address, ready, names) else {
                continue;
            };
            let family = IpFamily::of(endpoint.address);
            let count = slices.len();
            let slice = slices
                .entry((family, port_keys(&ports)))
                .or_insert_with(|| empty_slice(&service, family, &ports, count));
            slice.endpoints.push(endpoint);
        }
    }
    let mut slices: Vec<EndpointSlice> = slices.into_values().collect();
    slices.sort_by(|a, b| a.name.cmp(&b.name));
    slices
}

type PortKey = (std::sync::Arc<str>, u8, u16);

fn port_keys(ports: &[EndpointPort]) -> Vec<PortKey> {
    let mut keys: Vec<PortKey> = ports
        .iter()
        .map(|p| (p.name.clone(), p.protocol.number(), p.port))
        .collect();
    keys.sort();
    keys
}

fn empty_slice(
    service: &NamespacedName,
    family: IpFamily,
    ports: &[EndpointPort],
    number: usize,
) -> EndpointSlice {
    let name = format!("{}-mirrored-{number}", service.name);
    EndpointSlice {
        name: NamespacedName::new(service.namespace.clone(), name),
        service: service.clone(),
        family,
        ports: ports.to_vec(),
        endpoints: Vec::new(),
    }
}

fn mirrored_port(port: &api::EndpointPort, names: &mut Interner) -> Option<EndpointPort> {
    Some(EndpointPort {
        name: names.intern(port.name.as_deref().unwrap_or_default()),
        protocol: protocol(port.protocol.as_deref())?,
        port: port_number(port.port)?,
    })
}

fn mirrored_endpoint(
    address: api::EndpointAddress,
    ready: bool,
    names: &mut Interner,
) -> Option<Endpoint> {
    Some(Endpoint {
        address: parse_ip(&address.ip)?,
        ready,
        // The controller leaves it out, which reads as true.
        serving: true,
        terminating: false,
        node_name: names.intern_some(address.node_name.as_deref()),
        zone: None,
        zone_hints: Vec::new(),
        node_hints: Vec::new(),
        hostname: boxed(address.hostname),
        pod: target_pod(address.target_ref),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subsets_become_slices_by_family_and_ports() {
        let object = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "db", "namespace": "ns"},
            "subsets": [
                {"addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
                 "notReadyAddresses": [{"ip": "10.0.0.2", "nodeName": "n1"}],
                 "ports": [{"port": 5432}]},
                {"addresses": [{"ip": "10.0.0.3"}], "ports": [{"port": 5433}]},
                {"addresses": [{"ip": "10.0.0.4"}], "ports": [{"port": 5432}]},
            ],
        }));
        let slices = endpoints(object.unwrap(), &mut Interner::default());
        let shape: Vec<_> = slices
            .iter()
            .map(|s| {
                (
                    s.name.to_string(),
                    s.family,
                    s.ports[0].port,
                    s.endpoints.len(),
                )
            })
            .collect();
        assert_eq!(
            shape,
            [
                ("ns/db-mirrored-0".to_owned(), IpFamily::V4, 5432, 3),
                ("ns/db-mirrored-1".to_owned(), IpFamily::V6, 5432, 1),
                ("ns/db-mirrored-2".to_owned(), IpFamily::V4, 5433, 1),
            ]
        );
        let not_ready: Vec<_> = slices[0].endpoints.iter().filter(|e| !e.ready).collect();
        assert_eq!(not_ready.len(), 1);
        assert_eq!(not_ready[0].node_name.as_deref(), Some("n1"));
    }
}

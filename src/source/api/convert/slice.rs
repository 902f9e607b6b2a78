//! EndpointSlices.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::discovery::v1 as api;

use super::{Interner, boxed, object_name, port_number, protocol};
use crate::model::{Endpoint, EndpointPort, EndpointSlice, IpFamily, NamespacedName};
use crate::source::api::SERVICE_NAME_LABEL;
use crate::source::api::ip::parse_ip;

/// Why a slice is no Service's: kube-proxy ignores it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ignored {
    /// The label that names the Service is missing or empty.
    #[error("ignored: it has no label {SERVICE_NAME_LABEL}, so it belongs to no Service")]
    NoService,
    /// Its addresses are names, or of a kind that is not known.
    #[error("ignored: only IPv4 and IPv6 addresses can be programmed")]
    AddressType,
}

/// The model's form of a defaulted EndpointSlice.
pub fn endpoint_slice(
    object: api::EndpointSlice,
    names: &mut Interner,
) -> Result<EndpointSlice, Ignored> {
    let labels = object.metadata.labels.as_ref();
    let service = labels
        .and_then(|labels| labels.get(SERVICE_NAME_LABEL))
        .filter(|service| !service.is_empty())
        .ok_or(Ignored::NoService)?;
    let family = match object.address_type.as_str() {
        "IPv4" => IpFamily::V4,
        "IPv6" => IpFamily::V6,
        _ => return Err(Ignored::AddressType),
    };
    let name = object_name(&object.metadata, names);
    // Collected, they would take room for 16 where there are 10; nothing in memory is larger.
    let entries = object.endpoints.unwrap_or_default();
    let mut endpoints = Vec::with_capacity(entries.len());
    let converted = entries
        .into_iter()
        .filter_map(|entry| endpoint(entry, family, names));
    endpoints.extend(converted);
    let mut ports: Vec<_> = object
        .ports
        .into_iter()
        .flatten()
        .filter_map(|port| slice_port(&port, names))
        .collect();
    ports.shrink_to_fit();
    Ok(EndpointSlice {
        service: NamespacedName {
            namespace: name.namespace.clone(),
            name: names.intern(service),
        },
        name,
        family,
        ports,
        endpoints,
    })
}

fn slice_port(port: &api::EndpointPort, names: &mut Interner) -> Option<EndpointPort> {
    Some(EndpointPort {
        name: names.intern(port.name.as_deref()?),
        protocol: protocol(port.protocol.as_deref())?,
        port: port.port.and_then(port_number)?,
    })
}

fn endpoint(entry: api::Endpoint, family: IpFamily, names: &mut Interner) -> Option<Endpoint> {
    let address = entry.addresses.first().and_then(|text| parse_ip(text))?;
    if IpFamily::of(address) != family {
        return None;
    }
    let conditions = entry.conditions.unwrap_or_default();
    let hints = entry.hints.unwrap_or_default();
    let mut intern_all = |hints: Vec<String>| hints.iter().map(|h| names.intern(h)).collect();
    Some(Endpoint {
        address,
        ready: conditions.ready.unwrap_or(true),
        serving: conditions.serving.unwrap_or(true),
        terminating: conditions.terminating.unwrap_or(false),
        zone_hints: intern_all(
            hints
                .for_zones
                .into_iter()
                .flatten()
                .map(|z| z.name)
                .collect(),
        ),
        node_hints: intern_all(
            hints
                .for_nodes
                .into_iter()
                .flatten()
                .map(|n| n.name)
                .collect(),
        ),
        node_name: names.intern_some(entry.node_name.as_deref()),
        zone: names.intern_some(entry.zone.as_deref()),
        hostname: boxed(entry.hostname),
        pod: target_pod(entry.target_ref),
    })
}

/// The name of the Pod that an endpoint stands for.
pub(super) fn target_pod(target: Option<ObjectReference>) -> Option<Box<str>> {
    let target = target.filter(|target| target.kind.as_deref() == Some("Pod"))?;
    boxed(target.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(changes: &serde_json::Value) -> Result<EndpointSlice, Ignored> {
        let mut object = serde_json::json!({
            "metadata": {"name": "web-a", "labels": {SERVICE_NAME_LABEL: "web"}},
            "addressType": "IPv4",
            "ports": [{"name": "", "port": 80}, {"name": "all"}, {"port": 81}],
            "endpoints": [
                {"addresses": ["10.0.0.1", "10.0.0.2"]},
                {"addresses": ["10.0.0.3"], "conditions": {"ready": false}},
                {"addresses": []},
            ],
        });
        let changed = changes.as_object().unwrap().clone();
        object.as_object_mut().unwrap().extend(changed);
        endpoint_slice(
            serde_json::from_value(object).unwrap(),
            &mut Interner::default(),
        )
    }

    #[test]
    fn only_the_first_address_and_whole_ports_are_used() {
        let slice = converted(&serde_json::json!({})).unwrap();
        assert_eq!(slice.ports.len(), 1);
        let addresses: Vec<_> = slice
            .endpoints
            .iter()
            .map(|e| e.address.to_string())
            .collect();
        assert_eq!(addresses, ["10.0.0.1", "10.0.0.3"]);
        assert_eq!(slice.service.to_string(), "default/web");
    }

    #[test]
    fn serving_does_not_inherit_from_ready() {
        let slice = converted(&serde_json::json!({})).unwrap();
        let second = &slice.endpoints[1];
        assert_eq!(
            (second.ready, second.serving, second.terminating),
            (false, true, false)
        );
    }

    #[test]
    fn slices_of_nobody_or_of_names_are_ignored() {
        let metadata = serde_json::json!({"metadata": {"name": "web-a"}});
        assert_eq!(converted(&metadata), Err(Ignored::NoService));
        let names = serde_json::json!({"addressType": "FQDN"});
        assert_eq!(converted(&names), Err(Ignored::AddressType));
    }
}

//! Objects as the API server sends them, decoded to the model's own types.
//!
//! Only what the model needs is taken out of the text; the rest (managed fields, images of nodes,
//! annotations) is skipped without being kept. Defaults and conversion are those of manifests.
//! What the API server has accepted is not validated again: what cannot be used is left out and
//! said, as kube-proxy does.

use std::collections::BTreeMap;

use ipnet::IpNet;
use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::resource::Resource;
use crate::model::{EndpointSlice, NamespacedName, Node, Service};
use crate::model::{SCHEDULER_ANNOTATION, WEIGHT_ANNOTATION};
use crate::source::api::convert::{self, Interner};
use crate::source::api::ip::parse_cidr;
use crate::source::api::{
    EXCLUDE_LABEL, SERVICE_NAME_LABEL, SERVICE_PROXY_NAME_LABEL, ZONE_LABEL, defaults,
};

/// An object of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// A Service.
    Service(Box<Service>),
    /// An EndpointSlice, and when what it tells of happened, if it says so.
    Slice(EndpointSlice, Option<Timestamp>),
    /// A Node.
    Node(Box<Node>),
    /// A ServiceCIDR.
    ServiceCidr(Vec<IpNet>),
}

/// What an object says, and what of it is no good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    pub(super) name: NamespacedName,
    pub(super) version: Option<String>,
    /// `None` for one that is no concern of a proxy: a slice of names, or of no Service.
    pub(super) object: Option<Object>,
    /// Parts that were left out.
    pub(super) flaw: Option<String>,
}

/// An object that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    /// Its name, if at least that can be read.
    pub(super) name: Option<NamespacedName>,
    pub(super) version: Option<String>,
    pub(super) reason: String,
}

/// `metadata`, as far as it counts.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Meta {
    name: Option<String>,
    namespace: Option<String>,
    pub(super) resource_version: Option<String>,
    #[serde(rename = "continue")]
    pub(super) continue_token: Option<String>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    labels: Option<Labels>,
    annotations: Option<Annotations>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Labels {
    #[serde(rename = "kubernetes.io/service-name")]
    service: Option<String>,
    #[serde(rename = "service.kubernetes.io/service-proxy-name")]
    proxy: Option<String>,
    #[serde(rename = "topology.kubernetes.io/zone")]
    zone: Option<String>,
    #[serde(rename = "node.kubernetes.io/exclude-from-external-load-balancers")]
    excluded: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Annotations {
    #[serde(rename = "endpoints.kubernetes.io/last-change-trigger-time")]
    trigger: Option<String>,
    #[serde(rename = "k8s.io/initial-events-end")]
    initial_events_end: Option<String>,
    #[serde(rename = "portolan.dev/ipvs-scheduler")]
    scheduler: Option<String>,
    #[serde(rename = "portolan.dev/ipvs-weight")]
    weight: Option<String>,
}

impl Meta {
    /// This bookmark ends a streamed list.
    pub(super) fn ends_initial_events(&self) -> bool {
        let annotations = self.annotations.as_ref();
        annotations.is_some_and(|all| all.initial_events_end.as_deref() == Some("true"))
    }

    fn object_name(&self, names: &mut Interner) -> NamespacedName {
        NamespacedName {
            namespace: names.intern(self.namespace.as_deref().unwrap_or_default()),
            name: self.name.as_deref().unwrap_or_default().into(),
        }
    }

    fn trigger(&self) -> Option<Timestamp> {
        self.annotations.as_ref()?.trigger.as_ref()?.parse().ok()
    }

    fn into_api(self) -> ObjectMeta {
        let labels = self.labels.unwrap_or_default();
        let labels: BTreeMap<String, String> = [
            (SERVICE_NAME_LABEL, labels.service),
            (SERVICE_PROXY_NAME_LABEL, labels.proxy),
            (ZONE_LABEL, labels.zone),
            (EXCLUDE_LABEL, labels.excluded),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect();
        let annotations = self.annotations.unwrap_or_default();
        let annotations = [
            (SCHEDULER_ANNOTATION, annotations.scheduler),
            (WEIGHT_ANNOTATION, annotations.weight),
        ];
        let annotations: BTreeMap<String, String> = annotations
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?)))
            .collect();
        ObjectMeta {
            name: self.name,
            namespace: self.namespace,
            creation_timestamp: self.creation_timestamp,
            deletion_timestamp: self.deletion_timestamp,
            labels: Some(labels),
            annotations: (!annotations.is_empty()).then_some(annotations),
            ..ObjectMeta::default()
        }
    }
}

/// Any object, for its name.
#[derive(Debug, Deserialize)]
pub(super) struct Named {
    #[serde(default)]
    pub(super) metadata: Meta,
}

#[derive(Debug, Deserialize)]
struct WireService {
    metadata: Meta,
    spec: Option<core::ServiceSpec>,
    status: Option<WireStatus>,
}

#[derive(Debug, Deserialize)]
struct WireStatus {
    #[serde(rename = "loadBalancer")]
    load_balancer: Option<core::LoadBalancerStatus>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSlice {
    metadata: Meta,
    address_type: String,
    endpoints: Option<Vec<discovery::Endpoint>>,
    ports: Option<Vec<discovery::EndpointPort>>,
}

#[derive(Debug, Deserialize)]
struct WireNode {
    metadata: Meta,
    spec: Option<WireNodeSpec>,
    status: Option<WireNodeStatus>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireNodeSpec {
    #[serde(rename = "podCIDR")]
    pod_cidr: Option<String>,
    #[serde(rename = "podCIDRs")]
    pod_cidrs: Option<Vec<String>>,
    taints: Option<Vec<core::Taint>>,
    unschedulable: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
struct WireNodeStatus {
    addresses: Option<Vec<core::NodeAddress>>,
    conditions: Option<Vec<core::NodeCondition>>,
}

#[derive(Debug, Deserialize)]
struct WireServiceCidr {
    metadata: Meta,
    spec: Option<WireServiceCidrSpec>,
}

#[derive(Debug, Deserialize)]
struct WireServiceCidrSpec {
    #[serde(default)]
    cidrs: Vec<String>,
}

/// Decodes an object of a resource.
pub(super) fn decode(
    resource: Resource,
    text: &str,
    names: &mut Interner,
) -> Result<Decoded, Malformed> {
    let decoded = match resource {
        Resource::Services => parse(text).map(|wire| service(wire, names)),
        Resource::EndpointSlices => parse(text).map(|wire| slice(wire, names)),
        Resource::Nodes => parse(text).map(|wire| node(wire, names)),
        Resource::ServiceCidrs => parse(text).map(|wire| service_cidr(wire, names)),
    };
    let reason = match decoded {
        Ok(decoded) if !decoded.name.name.is_empty() => return Ok(decoded),
        Ok(_) => "it has no name".to_owned(),
        Err(reason) => reason,
    };
    let named: Option<Named> = serde_json::from_str(text).ok();
    let metadata = named.map(|named| named.metadata).unwrap_or_default();
    let name = metadata.object_name(names);
    Err(Malformed {
        name: (!name.name.is_empty()).then_some(name),
        version: metadata.resource_version,
        reason,
    })
}

/// Decodes the name and the version of an object that went.
pub(super) fn decode_name(
    text: &str,
    names: &mut Interner,
) -> Result<(NamespacedName, Option<String>), String> {
    let named: Named = parse(text)?;
    let name = named.metadata.object_name(names);
    Ok((name, named.metadata.resource_version))
}

/// Says where in the object the mistake is; only those who made one pay for it.
fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error: serde_json::Error| {
        let mut reader = serde_json::Deserializer::from_str(text);
        let again = serde_path_to_error::deserialize::<_, T>(&mut reader).err();
        again.map_or_else(
            || error.to_string(),
            |again| format!("{}: {}", again.path(), again.inner()),
        )
    })
}

fn service(wire: WireService, names: &mut Interner) -> Decoded {
    let name = wire.metadata.object_name(names);
    let version = wire.metadata.resource_version.clone();
    let mut object = core::Service {
        metadata: wire.metadata.into_api(),
        spec: wire.spec,
        status: wire.status.map(|status| core::ServiceStatus {
            load_balancer: status.load_balancer,
            ..core::ServiceStatus::default()
        }),
    };
    defaults::service(&mut object);
    let asked = object
        .spec
        .as_ref()
        .and_then(|spec| spec.cluster_ips.as_ref());
    let asked = asked.map_or(0, Vec::len);
    let service = convert::service(object, names);
    let usable = service.cluster_ips.len();
    let flaw = (!service.headless && usable < asked).then(|| {
        let unusable = asked - usable;
        format!("spec.clusterIPs: {unusable} of {asked} are no IP addresses")
    });
    Decoded {
        name,
        version,
        object: Some(Object::Service(Box::new(service))),
        flaw,
    }
}

fn slice(wire: WireSlice, names: &mut Interner) -> Decoded {
    let name = wire.metadata.object_name(names);
    let version = wire.metadata.resource_version.clone();
    let trigger = wire.metadata.trigger();
    let asked = wire.endpoints.as_ref().map_or(0, Vec::len);
    let mut object = discovery::EndpointSlice {
        metadata: wire.metadata.into_api(),
        address_type: wire.address_type,
        endpoints: wire.endpoints,
        ports: wire.ports,
    };
    defaults::endpoint_slice(&mut object);
    let slice = convert::endpoint_slice(object, names).ok();
    let usable = slice.as_ref().map_or(asked, |slice| slice.endpoints.len());
    let flaw = (usable < asked).then(|| {
        let unusable = asked - usable;
        format!("endpoints: {unusable} of {asked} have no address of the slice's family")
    });
    Decoded {
        name,
        version,
        object: slice.map(|slice| Object::Slice(slice, trigger)),
        flaw,
    }
}

fn node(wire: WireNode, names: &mut Interner) -> Decoded {
    let name = wire.metadata.object_name(names);
    let version = wire.metadata.resource_version.clone();
    let spec = wire.spec.unwrap_or_default();
    let status = wire.status.unwrap_or_default();
    let object = core::Node {
        metadata: wire.metadata.into_api(),
        spec: Some(core::NodeSpec {
            pod_cidr: spec.pod_cidr,
            pod_cidrs: spec.pod_cidrs,
            taints: spec.taints,
            unschedulable: spec.unschedulable,
            ..core::NodeSpec::default()
        }),
        status: Some(core::NodeStatus {
            addresses: status.addresses,
            conditions: status.conditions,
            ..core::NodeStatus::default()
        }),
    };
    Decoded {
        name,
        version,
        object: Some(Object::Node(Box::new(convert::node(&object, names)))),
        flaw: None,
    }
}

fn service_cidr(wire: WireServiceCidr, names: &mut Interner) -> Decoded {
    let texts = wire.spec.map(|spec| spec.cidrs).unwrap_or_default();
    let cidrs: Vec<IpNet> = texts
        .iter()
        .filter_map(|text| parse_cidr(text).map(|(_, net)| net))
        .collect();
    let flaw = (cidrs.len() < texts.len()).then(|| "spec.cidrs: not all are CIDRs".to_owned());
    Decoded {
        name: wire.metadata.object_name(names),
        version: wire.metadata.resource_version,
        object: Some(Object::ServiceCidr(cidrs)),
        flaw,
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;

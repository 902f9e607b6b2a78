//! What was given out, in the form that is kept between runs.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::super::{NamespacedName, Protocol, Service, ServicePort, ServiceType};
use super::AllocationChanges;

/// Everything that Services hold, by Service.
///
/// Serialises as a list of Services whose fields are spelled as in the Kubernetes API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<NamedRecord>", into = "Vec<NamedRecord>")]
pub struct Allocations {
    services: BTreeMap<NamespacedName, ServiceAllocation>,
}

/// What one Service holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceAllocation {
    /// `spec.clusterIPs`: at most one of each family, primary first.
    pub cluster_ips: Vec<IpAddr>,
    /// Ports of the Service that have a node port.
    pub node_ports: Vec<NodePortAllocation>,
    /// `spec.healthCheckNodePort`.
    pub health_check_node_port: Option<u16>,
    /// Addresses out of `--lb-pool`, in `status.loadBalancer`.
    pub balancer_ips: Vec<IpAddr>,
}

/// A service port and its node port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodePortAllocation {
    /// `spec.ports[].name`, empty if it has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// `spec.ports[].port`.
    pub port: u16,
    /// `spec.ports[].protocol`.
    #[serde(with = "protocol")]
    pub protocol: Protocol,
    /// `spec.ports[].nodePort`.
    pub node_port: u16,
}

impl Allocations {
    /// What a Service holds.
    #[must_use]
    pub fn get(&self, service: &NamespacedName) -> Option<&ServiceAllocation> {
        self.services.get(service)
    }

    /// All Services that hold something, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&NamespacedName, &ServiceAllocation)> {
        self.services.iter()
    }

    /// Moves on by changes.
    pub fn apply(&mut self, changes: AllocationChanges) {
        for (service, record) in changes {
            match record {
                Some(record) => self.services.insert(service, record),
                None => self.services.remove(&service),
            };
        }
    }

    /// How many Services hold something.
    #[must_use]
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// No Service holds anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }
}

impl FromIterator<(NamespacedName, ServiceAllocation)> for Allocations {
    fn from_iter<T: IntoIterator<Item = (NamespacedName, ServiceAllocation)>>(iter: T) -> Self {
        Self {
            services: iter.into_iter().collect(),
        }
    }
}

impl ServiceAllocation {
    /// What an allocated Service holds; `None` for one that holds nothing.
    #[must_use]
    pub fn of(service: &Service) -> Option<Self> {
        if service.service_type == ServiceType::ExternalName {
            return None;
        }
        let node_port = |port: &ServicePort| {
            Some(NodePortAllocation {
                name: port.name.as_ref().to_owned(),
                port: port.port,
                protocol: port.protocol,
                node_port: port.node_port?,
            })
        };
        let record = Self {
            cluster_ips: service.cluster_ips.clone(),
            node_ports: service.ports.iter().filter_map(node_port).collect(),
            health_check_node_port: service.health_check_node_port,
            balancer_ips: service.balancer_ips.clone(),
        };
        let holds_nothing = record.cluster_ips.is_empty()
            && record.node_ports.is_empty()
            && record.balancer_ips.is_empty()
            && record.health_check_node_port.is_none();
        (!holds_nothing).then_some(record)
    }
}

/// A Service's record with its name: the element of the serialised list.
///
/// By itself it is a change: a Service that holds nothing is one that gave all back.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NamedRecord {
    namespace: String,
    name: String,
    #[serde(default, rename = "clusterIPs", skip_serializing_if = "Vec::is_empty")]
    cluster_ips: Vec<IpAddr>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    node_ports: Vec<NodePortAllocation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    health_check_node_port: Option<u16>,
    #[serde(
        default,
        rename = "loadBalancerIPs",
        skip_serializing_if = "Vec::is_empty"
    )]
    balancer_ips: Vec<IpAddr>,
}

impl NamedRecord {
    /// What a Service holds now.
    #[must_use]
    pub fn new(service: &NamespacedName, record: Option<ServiceAllocation>) -> Self {
        let record = record.unwrap_or_default();
        Self {
            namespace: service.namespace.as_ref().to_owned(),
            name: service.name.as_ref().to_owned(),
            cluster_ips: record.cluster_ips,
            node_ports: record.node_ports,
            health_check_node_port: record.health_check_node_port,
            balancer_ips: record.balancer_ips,
        }
    }

    /// The Service and what it holds.
    #[must_use]
    pub fn into_change(self) -> (NamespacedName, Option<ServiceAllocation>) {
        let record = ServiceAllocation {
            cluster_ips: self.cluster_ips,
            node_ports: self.node_ports,
            health_check_node_port: self.health_check_node_port,
            balancer_ips: self.balancer_ips,
        };
        let service = NamespacedName::new(self.namespace, self.name);
        (
            service,
            (record != ServiceAllocation::default()).then_some(record),
        )
    }
}

impl From<Allocations> for Vec<NamedRecord> {
    fn from(allocations: Allocations) -> Self {
        allocations
            .services
            .into_iter()
            .map(|(service, record)| NamedRecord::new(&service, Some(record)))
            .collect()
    }
}

impl TryFrom<Vec<NamedRecord>> for Allocations {
    type Error = String;

    fn try_from(list: Vec<NamedRecord>) -> Result<Self, Self::Error> {
        let mut services = BTreeMap::new();
        for entry in list {
            let (service, record) = entry.into_change();
            let record = record.unwrap_or_default();
            if services.contains_key(&service) {
                return Err(format!("Service {service} is listed twice"));
            }
            services.insert(service, record);
        }
        Ok(Self { services })
    }
}

/// A protocol in the API's spelling.
mod protocol {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Protocol;

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "the signature that serde calls"
    )]
    pub(super) fn serialize<S: Serializer>(protocol: &Protocol, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(protocol.upper())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Protocol, D::Error> {
        let text = String::deserialize(from)?;
        [Protocol::Tcp, Protocol::Udp, Protocol::Sctp]
            .into_iter()
            .find(|protocol| protocol.upper() == text)
            .ok_or_else(|| serde::de::Error::custom(format!("{text:?} is not a protocol")))
    }
}

//! Everything known about a cluster at one moment: what rules, DNS and health are made from.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;

use super::{EndpointSlice, NamespacedName, Node, Service};

/// A complete state of Services, their endpoints and the nodes.
///
/// Ordered maps, so that everything derived from a snapshot comes out in the same order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Services by namespace and name.
    pub services: BTreeMap<NamespacedName, Service>,
    /// EndpointSlices by the Service they belong to, each list ordered by slice name.
    pub slices: BTreeMap<NamespacedName, Vec<EndpointSlice>>,
    /// Nodes by name.
    pub nodes: BTreeMap<Arc<str>, Node>,
    /// Ranges that cluster IPs come from, where the source knows them (ServiceCIDR objects); they
    /// then count instead of configured ones.
    pub service_cidrs: Vec<IpNet>,
}

impl Snapshot {
    /// The slices of a Service, none if it has no endpoints object.
    #[must_use]
    pub fn slices_of(&self, service: &NamespacedName) -> &[EndpointSlice] {
        self.slices.get(service).map_or(&[], Vec::as_slice)
    }
}

//! Service ports whose policy is Local while no endpoint is on this node: kube-proxy's gauge, kept
//! up to date Service by Service.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::agent::metrics::NoLocalEndpoints;
use crate::model::{
    IpFamily, NamespacedName, Node, Service, Snapshot, Touched, TrafficPolicy, choose_endpoints,
    endpoints_of, proxied_ports,
};

/// The counts of one node.
#[derive(Debug)]
pub(super) struct NoLocal {
    node_name: Arc<str>,
    families: Vec<IpFamily>,
    /// Services that count for something, by family.
    counting: BTreeMap<(NamespacedName, IpFamily), NoLocalEndpoints>,
    /// Their sums.
    totals: BTreeMap<IpFamily, NoLocalEndpoints>,
}

impl NoLocal {
    pub(super) fn new(node_name: Arc<str>, families: &[IpFamily]) -> Self {
        Self {
            node_name,
            families: families.to_vec(),
            counting: BTreeMap::new(),
            totals: BTreeMap::new(),
        }
    }

    /// Counts all Services anew.
    pub(super) fn follow_all(&mut self, snapshot: &Snapshot) {
        self.counting.clear();
        self.totals.clear();
        self.follow(snapshot, snapshot.services.keys());
    }

    /// Counts the Services that changed.
    pub(super) fn follow_touched(&mut self, snapshot: &Snapshot, touched: &Touched) {
        if touched.nodes.contains(&self.node_name) {
            return self.follow_all(snapshot);
        }
        self.follow(snapshot, &touched.services);
    }

    fn follow<'a>(
        &mut self,
        snapshot: &Snapshot,
        services: impl IntoIterator<Item = &'a NamespacedName>,
    ) {
        let node = snapshot.nodes.get(&self.node_name).cloned();
        let node = node.unwrap_or_else(|| Node {
            name: Arc::clone(&self.node_name),
            ..Node::default()
        });
        for name in services {
            for family in &self.families {
                let service = snapshot.services.get(name);
                let counts = service
                    .filter(|service| has_local_policy(service))
                    .map(|service| count(service, snapshot, *family, &node))
                    .filter(|counts| *counts != NoLocalEndpoints::default());
                let key = (name.clone(), *family);
                let before = match counts {
                    Some(counts) => self.counting.insert(key, counts),
                    None => self.counting.remove(&key),
                };
                let (before, counts) = (before.unwrap_or_default(), counts.unwrap_or_default());
                let total = self.totals.entry(*family).or_default();
                total.internal = total.internal + counts.internal - before.internal;
                total.external = total.external + counts.external - before.external;
            }
        }
    }

    /// The sums, family by family.
    pub(super) fn totals(&self) -> impl Iterator<Item = (IpFamily, NoLocalEndpoints)> {
        self.families.iter().map(|family| {
            let total = self.totals.get(family).copied();
            (*family, total.unwrap_or_default())
        })
    }
}

/// Nearly all Services have none, and cost nothing more.
fn has_local_policy(service: &Service) -> bool {
    service.internal_traffic_policy == TrafficPolicy::Local
        || service.external_traffic_policy == TrafficPolicy::Local
}

fn count(
    service: &Service,
    snapshot: &Snapshot,
    family: IpFamily,
    node: &Node,
) -> NoLocalEndpoints {
    let slices = snapshot.slices_of(&service.name);
    let mut counts = NoLocalEndpoints::default();
    for port in proxied_ports(service, family) {
        let endpoints = endpoints_of(&port, slices, &node.name);
        let choice = choose_endpoints(&port, &endpoints, node);
        if choice.has_any && choice.local.is_empty() {
            counts.internal += usize::from(port.internal_local);
            counts.external += usize::from(port.external_local && port.externally_accessible());
        }
    }
    counts
}

//! What changes between two states of a cluster, and which Services that touches.
//!
//! Sources produce deltas, engines consume what they touch: nothing in between looks at Services
//! that did not change.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;
use std::sync::Arc;

use ipnet::IpNet;

use super::{EndpointSlice, NamespacedName, Node, Service, Snapshot};

/// Objects that came, changed or went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotDelta {
    /// Services; `None` for one that went.
    pub services: BTreeMap<NamespacedName, Option<Service>>,
    /// All slices of a Service, by Service; an empty list where the last one went.
    pub slices: BTreeMap<NamespacedName, Vec<EndpointSlice>>,
    /// Nodes; `None` for one that went.
    pub nodes: BTreeMap<Arc<str>, Option<Node>>,
    /// All ranges of cluster IPs, if they changed.
    pub service_cidrs: Option<Vec<IpNet>>,
}

/// What a delta touched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Services that changed themselves or in their endpoints.
    pub services: BTreeSet<NamespacedName>,
    /// Nodes that changed: what depends on the own node (zone, addresses) is to be made anew if
    /// it is among them.
    pub nodes: BTreeSet<Arc<str>>,
    /// The ranges of cluster IPs changed.
    pub service_cidrs: bool,
}

impl SnapshotDelta {
    /// The delta that leads from one state to another. Looks at every object of both.
    #[must_use]
    pub fn between(old: &Snapshot, new: &Snapshot) -> Self {
        let mut slices = BTreeMap::new();
        for (service, change) in differences(&old.slices, &new.slices) {
            slices.insert(service, change.unwrap_or_default());
        }
        Self {
            services: differences(&old.services, &new.services),
            slices,
            nodes: differences(&old.nodes, &new.nodes),
            service_cidrs: (old.service_cidrs != new.service_cidrs)
                .then(|| new.service_cidrs.clone()),
        }
    }

    /// Nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
            && self.slices.is_empty()
            && self.nodes.is_empty()
            && self.service_cidrs.is_none()
    }

    /// What the delta touches.
    #[must_use]
    pub fn touched(&self) -> Touched {
        let services = self.services.keys().chain(self.slices.keys());
        Touched {
            services: services.cloned().collect(),
            nodes: self.nodes.keys().cloned().collect(),
            service_cidrs: self.service_cidrs.is_some(),
        }
    }
}

impl Touched {
    /// Nothing is touched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.services.is_empty() && self.nodes.is_empty() && !self.service_cidrs
    }

    /// Adds what another delta touched.
    pub fn extend(&mut self, other: Self) {
        self.services.extend(other.services);
        self.nodes.extend(other.nodes);
        self.service_cidrs |= other.service_cidrs;
    }
}

impl Snapshot {
    /// Moves on by a delta, and tells what it touched. Costs time for the delta only.
    pub fn apply(&mut self, delta: SnapshotDelta) -> Touched {
        let touched = delta.touched();
        replace(&mut self.services, delta.services);
        replace(&mut self.nodes, delta.nodes);
        if let Some(cidrs) = delta.service_cidrs {
            self.service_cidrs = cidrs;
        }
        let slices = delta.slices.into_iter();
        let slices = slices.map(|(service, list)| (service, (!list.is_empty()).then_some(list)));
        replace(&mut self.slices, slices);
        touched
    }
}

fn differences<K: Ord + Hash + Clone, V: PartialEq + Clone>(
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
) -> BTreeMap<K, Option<V>> {
    let gone = old.keys().filter(|key| !new.contains_key(*key));
    let gone = gone.map(|key| (key.clone(), None));
    let other = new
        .iter()
        .filter(|(key, value)| old.get(*key) != Some(value));
    let other = other.map(|(key, value)| (key.clone(), Some(value.clone())));
    gone.chain(other).collect()
}

fn replace<K: Ord, V>(map: &mut BTreeMap<K, V>, changes: impl IntoIterator<Item = (K, Option<V>)>) {
    for (key, change) in changes {
        match change {
            Some(value) => map.insert(key, value),
            None => map.remove(&key),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, zone: Option<&str>) -> (Arc<str>, Node) {
        let node = Node {
            name: name.into(),
            zone: zone.map(Into::into),
            ..Node::default()
        };
        (name.into(), node)
    }

    #[test]
    fn a_delta_between_two_states_leads_from_one_to_the_other() {
        let old = Snapshot {
            nodes: [node("a", None), node("b", None), node("c", None)].into(),
            ..Snapshot::default()
        };
        let new = Snapshot {
            nodes: [node("b", Some("east")), node("c", None), node("d", None)].into(),
            ..Snapshot::default()
        };
        let delta = SnapshotDelta::between(&old, &new);
        let mut state = old;
        let touched = state.apply(delta);
        assert_eq!(state, new);
        let names: Vec<_> = touched.nodes.iter().map(AsRef::as_ref).collect();
        assert_eq!(names, ["a", "b", "d"], "c did not change");
        assert!(SnapshotDelta::between(&state, &new).is_empty());
    }
}

//! Pods, and which Services select them, found by labels from either side.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};

use crate::model::{NamespacedName, Pod, Service};

/// Names by the hash of a label in a namespace; sorted. Labels that share a hash share an entry:
/// what is found has to be compared.
type ByLabel = HashMap<u64, Vec<NamespacedName>>;

/// All pods, and the selectors of all Services.
#[derive(Debug, Default)]
pub(super) struct Pods {
    pods: BTreeMap<NamespacedName, Pod>,
    by_label: ByLabel,
    /// Each Service with a selector, under the label of it that fewest others are under.
    selectors: ByLabel,
    hasher: RandomState,
}

impl Pods {
    pub(super) fn insert(&mut self, pod: Pod) {
        for label in self.labels(&pod.name, &pod.labels) {
            enter(&mut self.by_label, label, &pod.name);
        }
        self.pods.insert(pod.name.clone(), pod);
    }

    pub(super) fn remove(&mut self, name: &NamespacedName) -> Option<Pod> {
        let pod = self.pods.remove(name)?;
        for label in self.labels(name, &pod.labels) {
            strike(&mut self.by_label, label, name);
        }
        Some(pod)
    }

    /// The pods that a Service selects, by name. A Service without a selector selects none.
    pub(super) fn selected(&self, service: &Service) -> Vec<&Pod> {
        let labels = self.labels(&service.name, &service.selector);
        let with_label = |label| self.by_label.get(&label).map_or(&[][..], Vec::as_slice);
        let fewest = labels.into_iter().map(with_label).min_by_key(|p| p.len());
        let pods = fewest.into_iter().flatten();
        pods.filter_map(|name| self.pods.get(name))
            .filter(|pod| selects(service, pod))
            .collect()
    }

    /// Enters what a Service selects.
    pub(super) fn watch(&mut self, service: &Service) {
        let labels = self.labels(&service.name, &service.selector);
        let under = |label: &u64| self.selectors.get(label).map_or(0, Vec::len);
        if let Some(label) = labels.into_iter().min_by_key(under) {
            enter(&mut self.selectors, label, &service.name);
        }
    }

    /// Takes back [`watch`](Self::watch).
    pub(super) fn unwatch(&mut self, service: &Service) {
        for label in self.labels(&service.name, &service.selector) {
            strike(&mut self.selectors, label, &service.name);
        }
    }

    /// The names of Services that may select a pod: all that do are among them.
    pub(super) fn candidates(&self, pod: &Pod) -> Vec<NamespacedName> {
        let labels = self.labels(&pod.name, &pod.labels).into_iter();
        let services = labels.filter_map(|label| self.selectors.get(&label));
        services.flatten().cloned().collect()
    }

    pub(super) fn get(&self, name: &NamespacedName) -> Option<&Pod> {
        self.pods.get(name)
    }

    /// The pods on some nodes. Looks at all pods, unless there are no such nodes.
    pub(super) fn on_nodes<'a>(
        &'a self,
        nodes: &'a BTreeSet<&str>,
    ) -> impl Iterator<Item = &'a Pod> {
        let pods = self.pods.values();
        let is_on = |pod: &Pod| {
            let node = pod.node_name.as_deref();
            node.is_some_and(|node| nodes.contains(node))
        };
        pods.take_while(|_| !nodes.is_empty())
            .filter(move |pod| is_on(pod))
    }

    fn labels(&self, owner: &NamespacedName, labels: &BTreeMap<Box<str>, Box<str>>) -> Vec<u64> {
        let hash = |label| self.hasher.hash_one((&owner.namespace, label));
        labels.iter().map(hash).collect()
    }
}

/// Whether a Service's selector matches a pod of its namespace.
pub(super) fn selects(service: &Service, pod: &Pod) -> bool {
    let mut selector = service.selector.iter();
    !service.selector.is_empty()
        && service.name.namespace == pod.name.namespace
        && selector.all(|(key, value)| pod.labels.get(key) == Some(value))
}

fn enter(map: &mut ByLabel, label: u64, name: &NamespacedName) {
    let names = map.entry(label).or_default();
    if let Err(place) = names.binary_search(name) {
        names.insert(place, name.clone());
    }
}

fn strike(map: &mut ByLabel, label: u64, name: &NamespacedName) {
    let Some(names) = map.get_mut(&label) else {
        return;
    };
    if let Ok(place) = names.binary_search(name) {
        names.remove(place);
    }
    if names.is_empty() {
        map.remove(&label);
    }
}

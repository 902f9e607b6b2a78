//! Puts a staged state in force, and tells what that changes in the snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::LiveManifests;
use super::file::{FileKey, Held};
use super::pods::selects;
use super::slices::Touch;
use super::stage::{Reread, Staged};
use crate::model::{NamespacedName, Node, Pod, Service, Snapshot, SnapshotDelta};
use crate::source::manifest::kind::Kind;
use crate::source::manifest::object::Object;

/// Slices of Services as they are to be changed.
type Touches = BTreeMap<NamespacedName, Touch>;

/// A snapshot and what is about to change in it.
pub(super) struct After<'a> {
    pub(super) current: &'a Snapshot,
    pub(super) services: &'a BTreeMap<NamespacedName, Option<Service>>,
    pub(super) nodes: &'a BTreeMap<Arc<str>, Option<Node>>,
}

impl After<'_> {
    pub(super) fn service(&self, name: &NamespacedName) -> Option<&Service> {
        match self.services.get(name) {
            Some(changed) => changed.as_ref(),
            None => self.current.services.get(name),
        }
    }

    pub(super) fn node(&self, name: &str) -> Option<&Node> {
        match self.nodes.get(name) {
            Some(changed) => changed.as_ref(),
            None => self.current.nodes.get(name),
        }
    }
}

impl LiveManifests {
    /// Puts a staged state in force whose Services have been given addresses.
    ///
    /// `current` is the snapshot that all deltas so far led to.
    pub fn commit(&mut self, staged: Staged, current: &Snapshot) -> SnapshotDelta {
        self.dirty = Default::default();
        if let Some(arguments) = staged.arguments {
            self.arguments = arguments;
        }
        for held in &staged.removed {
            self.owned.remove(&held.key());
        }
        self.owned.extend(staged.added_keys);
        for (key, file) in staged.files {
            self.put(key, file);
        }

        let mut touches = Touches::new();
        let (mut nodes, mut pods) = (BTreeMap::new(), Vec::new());
        remove(&staged.removed, &mut touches, &mut nodes, &mut pods);
        let gone_pods: Vec<Pod> = pods
            .iter()
            .filter_map(|name| self.pods.remove(name))
            .collect();
        let came = self.add(staged.added, &mut touches, &mut nodes);
        self.touch_by_services(&staged.services, current, &mut touches);
        let after = After {
            current,
            services: &staged.services,
            nodes: &nodes,
        };
        self.touch_by_pods(&gone_pods, &came, &after, &mut touches);
        let mut slices = BTreeMap::new();
        for (service, touch) in touches {
            if let Some(list) = self.settle(&service, touch, &after) {
                slices.insert(service, list);
            }
        }
        nodes.retain(|name, node| current.nodes.get(name) != node.as_ref());
        let mut services = staged.services;
        services.retain(|name, service| current.services.get(name) != service.as_ref());
        self.tidy();
        SnapshotDelta {
            services,
            slices,
            nodes,
            service_cidrs: None,
        }
    }

    fn put(&mut self, key: FileKey, file: Option<Reread>) {
        let Some(file) = file else {
            self.links.remove(&key);
            self.files.remove(&key);
            return;
        };
        if file.target.is_some() {
            self.links.insert(key.clone());
        } else {
            self.links.remove(&key);
        }
        let known = self.files.entry(key).or_default();
        known.target = file.target;
        known.once = file.once;
        known.identity = file.identity;
        known.tail = file.tail;
        file.patch.apply(&mut known.documents);
    }

    /// Enters new objects; the names of the pods among them.
    fn add(
        &mut self,
        objects: Vec<Object>,
        touches: &mut Touches,
        nodes: &mut BTreeMap<Arc<str>, Option<Node>>,
    ) -> Vec<NamespacedName> {
        let mut pods = Vec::new();
        for object in objects {
            match object {
                Object::Slice(slice) => {
                    let touch = touches.entry(slice.service.clone()).or_default();
                    touch.added.push(slice);
                }
                Object::Endpoints(service, slices) => {
                    touches.entry(service).or_default().endpoints = Some(Some(slices));
                }
                Object::Node(node) => {
                    nodes.insert(Arc::clone(&node.name), Some(node));
                }
                Object::Pod(pod) => {
                    pods.push(pod.name.clone());
                    self.pods.insert(*pod);
                }
                Object::Service(_) | Object::IgnoredSlice(_) | Object::Namespace(_) => {}
            }
        }
        pods
    }

    /// A Service may select other pods than before, and make other endpoints of them.
    fn touch_by_services(
        &mut self,
        services: &BTreeMap<NamespacedName, Option<Service>>,
        current: &Snapshot,
        touches: &mut Touches,
    ) {
        for (name, service) in services {
            if let Some(before) = current.services.get(name) {
                self.pods.unwatch(before);
            }
            if let Some(service) = service {
                self.pods.watch(service);
            }
            touches.entry(name.clone()).or_default().pods = true;
        }
    }

    /// Pods that came, went or changed, and nodes that are in another zone.
    fn touch_by_pods(
        &self,
        gone: &[Pod],
        came: &[NamespacedName],
        after: &After<'_>,
        touches: &mut Touches,
    ) {
        let came = came.iter().filter_map(|name| self.pods.get(name));
        let zone = |node: Option<&Node>| node.and_then(|node| node.zone.clone());
        let moved: BTreeSet<&str> = after
            .nodes
            .iter()
            .filter(|(name, node)| zone(node.as_ref()) != zone(after.current.nodes.get(*name)))
            .map(|(name, _)| &**name)
            .collect();
        let on_nodes = self.pods.on_nodes(&moved);
        for pod in gone.iter().chain(came).chain(on_nodes) {
            for name in self.pods.candidates(pod) {
                let selected = after.service(&name).is_some_and(|s| selects(s, pod));
                if selected {
                    touches.entry(name).or_default().pods = true;
                }
            }
        }
    }
}

/// Takes objects away. They may come back with the same change.
fn remove(
    removed: &[Held],
    touches: &mut Touches,
    nodes: &mut BTreeMap<Arc<str>, Option<Node>>,
    pods: &mut Vec<NamespacedName>,
) {
    for held in removed {
        match (held.kind, held.service()) {
            (Kind::EndpointSlice, Some(service)) => {
                let touch = touches.entry(service).or_default();
                touch.removed.insert(held.name.clone());
            }
            (Kind::Endpoints, _) => {
                touches.entry(held.name.clone()).or_default().endpoints = Some(None);
            }
            (Kind::Node, _) => {
                nodes.insert(Arc::clone(&held.name.name), None);
            }
            (Kind::Pod, _) => pods.push(held.name.clone()),
            (Kind::Service | Kind::Namespace | Kind::EndpointSlice, _) => {}
        }
    }
}

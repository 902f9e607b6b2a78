//! From what the watches say to what changes in the snapshot.
//!
//! Lives in the loop. The snapshot is the only copy of the objects: here is kept what it does not
//! have, the Service that each slice belongs to, and what is being listed. A list swaps: objects
//! that differ are put aside until it is complete, and then all that it did not name goes, in one
//! delta. Must not do I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;

use super::resource::Resource;
use super::update::{Batch, Update};
use super::wire::Object;
use crate::model::{EndpointSlice, NamespacedName, Snapshot, SnapshotDelta};

/// What a batch changes.
#[derive(Debug, Default)]
pub struct News {
    /// In the snapshot.
    pub delta: SnapshotDelta,
    /// When the changes of endpoints in it happened, as far as that is known.
    pub triggers: Vec<Timestamp>,
}

/// What is known of the cluster besides the snapshot.
#[derive(Debug)]
pub struct LiveCluster {
    /// Changes before this moment are no measure of how fast we are.
    start: Timestamp,
    /// The Service of each slice.
    owners: HashMap<NamespacedName, NamespacedName>,
    cidrs: BTreeMap<NamespacedName, Vec<IpNet>>,
    listings: HashMap<Resource, Listing>,
    listed: HashSet<Resource>,
    /// Objects that cannot be used, or not whole, and why.
    flawed: HashMap<Resource, BTreeMap<NamespacedName, String>>,
}

/// A list that is under way.
#[derive(Debug, Default)]
struct Listing {
    seen: HashSet<NamespacedName>,
    /// What differs from the snapshot, or is of no concern.
    changed: HashMap<NamespacedName, Option<Object>>,
}

/// A delta in the making.
struct Change<'a> {
    current: &'a Snapshot,
    delta: SnapshotDelta,
    triggers: Vec<(NamespacedName, Timestamp)>,
}

impl LiveCluster {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(start: Timestamp) -> Self {
        Self {
            start,
            owners: HashMap::new(),
            cidrs: BTreeMap::new(),
            listings: HashMap::new(),
            listed: HashSet::new(),
            flawed: HashMap::new(),
        }
    }

    /// Every resource was listed completely, at least once.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        Resource::ALL.iter().all(|one| self.listed.contains(one))
    }

    /// Was listed completely, at least once.
    #[must_use]
    pub fn is_listed(&self, resource: Resource) -> bool {
        self.listed.contains(&resource)
    }

    /// How many objects of the resource cannot be used, or not whole.
    #[must_use]
    pub fn flawed(&self, resource: Resource) -> usize {
        self.flawed.get(&resource).map_or(0, BTreeMap::len)
    }

    /// Takes what came. `current` is the snapshot with all deltas applied that this has given.
    pub fn take(&mut self, batch: Batch, current: &Snapshot) -> News {
        let resource = batch.resource;
        let mut change = Change {
            current,
            delta: SnapshotDelta::default(),
            triggers: Vec::new(),
        };
        for update in batch.updates {
            match update {
                Update::Listing => {
                    self.listings.insert(resource, Listing::default());
                }
                Update::BrokenOff => {
                    self.listings.remove(&resource);
                }
                Update::Put { name, object, flaw } => {
                    self.note(resource, Some(&name), flaw);
                    self.put(resource, name, object, &mut change);
                }
                Update::Gone(name) => {
                    self.note(resource, Some(&name), None);
                    match self.listings.get_mut(&resource) {
                        Some(listing) => listing.forget(&name),
                        None => self.replace(resource, &name, None, &mut change),
                    }
                }
                Update::Malformed { name, reason } => {
                    self.note(resource, name.as_ref(), Some(reason));
                    if let (Some(name), Some(listing)) = (name, self.listings.get_mut(&resource)) {
                        listing.seen.insert(name);
                    }
                }
                Update::Listed => self.listed(resource, &mut change),
                Update::Unavailable => {
                    self.listings.insert(resource, Listing::default());
                    self.listed(resource, &mut change);
                }
            }
        }
        change.finish(self.start)
    }

    /// An object of the API that is there.
    fn put(
        &mut self,
        resource: Resource,
        name: NamespacedName,
        object: Option<Object>,
        change: &mut Change<'_>,
    ) {
        let known = self.is_known(&name, object.as_ref(), change.current);
        match self.listings.get_mut(&resource) {
            None => self.replace(resource, &name, object, change),
            Some(listing) => {
                listing.seen.insert(name.clone());
                if known {
                    listing.changed.remove(&name);
                } else {
                    listing.changed.insert(name, object);
                }
            }
        }
    }

    /// The snapshot has it as it is.
    fn is_known(&self, name: &NamespacedName, object: Option<&Object>, current: &Snapshot) -> bool {
        match object {
            Some(Object::Service(service)) => current.services.get(name) == Some(&**service),
            Some(Object::Node(node)) => current.nodes.get(&node.name) == Some(&**node),
            Some(Object::Slice(slice, _)) => {
                let present = current.slices_of(&slice.service);
                let found = present.binary_search_by(|present| present.name.cmp(name));
                let found = found.ok().and_then(|index| present.get(index));
                found == Some(slice)
            }
            Some(Object::ServiceCidr(cidrs)) => self.cidrs.get(name) == Some(cidrs),
            None => false,
        }
    }

    /// The list is complete: it takes the place of what was known.
    fn listed(&mut self, resource: Resource, change: &mut Change<'_>) {
        self.listed.insert(resource);
        let Some(listing) = self.listings.remove(&resource) else {
            return;
        };
        for name in self.missing(resource, &listing.seen, change.current) {
            self.note(resource, Some(&name), None);
            self.replace(resource, &name, None, change);
        }
        if let Some(flawed) = self.flawed.get_mut(&resource) {
            flawed.retain(|name, _| listing.seen.contains(name));
        }
        for (name, object) in listing.changed {
            self.replace(resource, &name, object, change);
        }
        if resource == Resource::EndpointSlices {
            self.owners.shrink_to_fit();
        }
    }

    /// What is known and was not seen.
    fn missing(
        &self,
        resource: Resource,
        seen: &HashSet<NamespacedName>,
        current: &Snapshot,
    ) -> Vec<NamespacedName> {
        let node = |name: &Arc<str>| NamespacedName::new("", Arc::clone(name));
        let unseen = |name: &&NamespacedName| !seen.contains(*name);
        match resource {
            Resource::Services => current.services.keys().filter(unseen).cloned().collect(),
            Resource::EndpointSlices => self.owners.keys().filter(unseen).cloned().collect(),
            Resource::Nodes => {
                let nodes = current.nodes.keys().map(node);
                nodes.filter(|name| unseen(&name)).collect()
            }
            Resource::ServiceCidrs => self.cidrs.keys().filter(unseen).cloned().collect(),
        }
    }

    /// Puts an object in the place of what has its name.
    fn replace(
        &mut self,
        resource: Resource,
        name: &NamespacedName,
        object: Option<Object>,
        change: &mut Change<'_>,
    ) {
        match (resource, object) {
            (_, Some(Object::Service(service))) => {
                change.delta.services.insert(name.clone(), Some(*service));
            }
            (_, Some(Object::Node(node))) => {
                let key = Arc::clone(&node.name);
                change.delta.nodes.insert(key, Some(*node));
            }
            (_, Some(Object::Slice(slice, trigger))) => {
                self.replace_slice(name, slice, trigger, change);
            }
            (_, Some(Object::ServiceCidr(cidrs))) => {
                self.cidrs.insert(name.clone(), cidrs);
                change.delta.service_cidrs = Some(self.all_cidrs());
            }
            (Resource::Services, None) => {
                change.delta.services.insert(name.clone(), None);
            }
            (Resource::Nodes, None) => {
                change.delta.nodes.insert(Arc::clone(&name.name), None);
            }
            (Resource::EndpointSlices, None) => {
                if let Some(owner) = self.owners.remove(name) {
                    change.slices(&owner).retain(|slice| slice.name != *name);
                }
            }
            (Resource::ServiceCidrs, None) => {
                self.cidrs.remove(name);
                change.delta.service_cidrs = Some(self.all_cidrs());
            }
        }
    }

    fn replace_slice(
        &mut self,
        name: &NamespacedName,
        slice: EndpointSlice,
        trigger: Option<Timestamp>,
        change: &mut Change<'_>,
    ) {
        let owner = slice.service.clone();
        let before = self.owners.insert(name.clone(), owner.clone());
        if let Some(before) = before.filter(|before| *before != owner) {
            change.slices(&before).retain(|slice| slice.name != *name);
        }
        if let Some(trigger) = trigger {
            change.triggers.push((owner.clone(), trigger));
        }
        let slices = change.slices(&owner);
        match slices.binary_search_by(|present| present.name.cmp(name)) {
            Ok(index) => {
                if let Some(present) = slices.get_mut(index) {
                    *present = slice;
                }
            }
            Err(index) => {
                slices.reserve_exact(1);
                slices.insert(index, slice);
            }
        }
    }

    /// All ranges, each once, in order.
    fn all_cidrs(&self) -> Vec<IpNet> {
        let cidrs: BTreeSet<IpNet> = self.cidrs.values().flatten().copied().collect();
        cidrs.into_iter().collect()
    }

    /// Remembers what is wrong with an object, and says what was not said before.
    fn note(&mut self, resource: Resource, name: Option<&NamespacedName>, flaw: Option<String>) {
        let Some(name) = name else {
            if let Some(reason) = flaw {
                tracing::warn!(
                    resource = resource.as_str(),
                    "an object without a name: {reason}"
                );
            }
            return;
        };
        let flawed = self.flawed.entry(resource).or_default();
        match flaw {
            None if flawed.is_empty() => {}
            None => {
                flawed.remove(name);
            }
            Some(reason) => {
                if flawed.get(name) != Some(&reason) {
                    tracing::warn!(resource = resource.as_str(), object = %name, "{reason}");
                    flawed.insert(name.clone(), reason);
                }
            }
        }
    }
}

impl Listing {
    fn forget(&mut self, name: &NamespacedName) {
        self.seen.remove(name);
        self.changed.remove(name);
    }
}

impl Change<'_> {
    /// The slices of a Service as they are to be.
    fn slices(&mut self, service: &NamespacedName) -> &mut Vec<EndpointSlice> {
        let current = self.current;
        let entry = self.delta.slices.entry(service.clone());
        entry.or_insert_with(|| current.slices_of(service).to_vec())
    }

    /// Leaves out what is as it was.
    fn finish(mut self, start: Timestamp) -> News {
        let current = self.current;
        let delta = &mut self.delta;
        delta
            .services
            .retain(|name, service| current.services.get(name) != service.as_ref());
        delta
            .slices
            .retain(|service, slices| current.slices_of(service) != slices.as_slice());
        delta
            .nodes
            .retain(|name, node| current.nodes.get(name) != node.as_ref());
        if delta.service_cidrs.as_ref() == Some(&current.service_cidrs) {
            delta.service_cidrs = None;
        }
        let triggers = self.triggers.into_iter();
        let triggers = triggers
            .filter(|(service, trigger)| *trigger > start && delta.slices.contains_key(service))
            .map(|(_, trigger)| trigger)
            .collect();
        News {
            delta: self.delta,
            triggers,
        }
    }
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;

//! Objects of all documents into one set: finds what is defined twice, counts what is skipped.
//!
//! Must not parse. Takes contents in the order of the input, so that everything it reports is in
//! that order too.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Manifests;
use super::document::{Contents, Skipped};
use super::kind::{KINDS_READ, Kind};
use super::object::Object;
use super::problem::{ManifestError, ManifestErrors, Note, Origin, Problem};
use crate::model::{EndpointSlice, NamespacedName};

/// Errors that are kept; nobody reads the ten thousand and first.
pub(super) const MAX_ERRORS: usize = 10_000;

/// The set so far.
#[derive(Default)]
pub(super) struct Collector {
    manifests: Manifests,
    /// Slices out of Endpoints objects, by Service.
    mirrored: BTreeMap<NamespacedName, Vec<EndpointSlice>>,
    /// Where every object was defined.
    seen: HashMap<(Kind, NamespacedName), Origin>,
    skipped: SkippedKinds,
    errors: Vec<ManifestError>,
    omitted: usize,
}

impl Collector {
    /// Adds what a document held; false if it held nothing.
    pub(super) fn add(&mut self, contents: Contents) -> bool {
        let found = !contents.objects.is_empty()
            || !contents.skipped.is_empty()
            || !contents.errors.is_empty();
        self.manifests.notes.extend(contents.notes);
        for error in contents.errors {
            self.error(error);
        }
        self.skipped.extend(contents.skipped);
        for (origin, object) in contents.objects {
            self.object(origin, object);
        }
        found
    }

    pub(super) fn error(&mut self, error: ManifestError) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(error);
        } else {
            self.omitted += 1;
        }
    }

    pub(super) fn note(&mut self, origin: Origin, text: String) {
        self.manifests.notes.push(Note {
            origin,
            object: None,
            text,
        });
    }

    fn object(&mut self, origin: Origin, object: Object) {
        let kind = object.kind();
        let name = object.name();
        if let Some(first) = self.seen.get(&(kind, name.clone())) {
            let error = twice(kind, &name, origin, first.clone());
            self.error(error);
            return;
        }
        self.seen.insert((kind, name.clone()), origin.clone());
        let manifests = &mut self.manifests;
        match object {
            Object::Service(service) => {
                manifests.origins.insert(name.clone(), origin);
                manifests.services.insert(name, *service);
            }
            Object::Slice(slice) => {
                manifests
                    .slices
                    .entry(slice.service.clone())
                    .or_default()
                    .push(slice);
            }
            Object::Endpoints(service, slices) => {
                self.mirrored.insert(service, slices);
            }
            Object::Node(node) => {
                manifests.nodes.insert(Arc::clone(&node.name), node);
            }
            Object::Pod(pod) => manifests.pods.push(*pod),
            Object::IgnoredSlice(_) | Object::Namespace(_) => {}
        }
    }

    /// The whole set, or all that is wrong with it.
    pub(super) fn finish(self) -> Result<Manifests, ManifestErrors> {
        let mut manifests = self.manifests;
        manifests.notes.extend(self.skipped.notes());
        if !self.errors.is_empty() {
            return Err(ManifestErrors {
                errors: self.errors,
                omitted: self.omitted,
                notes: manifests.notes,
            });
        }
        for (service, slices) in self.mirrored {
            // Slices in the input are what the controller would have made of it, or better.
            manifests.slices.entry(service).or_insert(slices);
        }
        for slices in manifests.slices.values_mut() {
            slices.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Ok(manifests)
    }
}

/// Objects of kinds that are not read: the first of each kind, and how many there are.
#[derive(Default)]
pub(super) struct SkippedKinds(BTreeMap<String, (Skipped, usize)>);

impl SkippedKinds {
    pub(super) fn extend(&mut self, skipped: Vec<Skipped>) {
        for skipped in skipped {
            let kind = skipped.kind.clone();
            self.0.entry(kind).or_insert((skipped, 0)).1 += 1;
        }
    }

    /// One note for each kind.
    pub(super) fn notes(self) -> impl Iterator<Item = Note> {
        self.0.into_iter().map(|(kind, (first, count))| {
            let object = match count - 1 {
                0 => first.object,
                1 => format!("{} and 1 other {kind}", first.object),
                others => format!("{} and {others} others of kind {kind}", first.object),
            };
            Note {
                origin: Origin::file(first.origin.file),
                object: None,
                text: format!("{object} skipped: {KINDS_READ}"),
            }
        })
    }
}

/// The error of an object that is defined where another one of its name was defined before.
pub(super) fn twice(
    kind: Kind,
    name: &NamespacedName,
    origin: Origin,
    first: Origin,
) -> ManifestError {
    let object = match name.namespace.is_empty() {
        true => format!("{} {}", kind.name(), name.name),
        false => format!("{} {name}", kind.name()),
    };
    ManifestError {
        origin,
        object: Some(object),
        problem: Problem::Twice(first),
    }
}

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
const MAX_ERRORS: usize = 10_000;

/// The set so far.
#[derive(Default)]
pub(super) struct Collector {
    manifests: Manifests,
    /// Slices out of Endpoints objects, by Service.
    mirrored: BTreeMap<NamespacedName, Vec<EndpointSlice>>,
    /// Where every object was defined.
    seen: HashMap<(Kind, NamespacedName), Origin>,
    /// By kind: the first one, and how many there are.
    skipped: BTreeMap<String, (Skipped, usize)>,
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
        for skipped in contents.skipped {
            self.skipped
                .entry(skipped.kind.clone())
                .or_insert((skipped, 0))
                .1 += 1;
        }
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
            let problem = Problem::Twice(first.clone());
            let object = match name.namespace.is_empty() {
                true => format!("{} {}", kind.name(), name.name),
                false => format!("{} {name}", kind.name()),
            };
            self.error(ManifestError {
                origin,
                object: Some(object),
                problem,
            });
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
    pub(super) fn finish(mut self) -> Result<Manifests, ManifestErrors> {
        let mut manifests = self.manifests;
        for (kind, (first, count)) in std::mem::take(&mut self.skipped) {
            let object = match count - 1 {
                0 => first.object,
                1 => format!("{} and 1 other {kind}", first.object),
                others => format!("{} and {others} others of kind {kind}", first.object),
            };
            manifests.notes.push(Note {
                origin: Origin::file(first.origin.file),
                object: None,
                text: format!("{object} skipped: {KINDS_READ}"),
            });
        }
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

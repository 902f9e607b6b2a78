//! What is remembered of a file: enough to tell what changed in it and what that takes away.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::document::Contents;
use super::super::extent::Extent;
use super::super::kind::Kind;
use super::super::object::Object;
use crate::model::NamespacedName;

/// A file is named by the first argument that leads to it. Ordered as files are read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FileKey {
    /// Position among the arguments.
    pub(super) argument: usize,
    /// As it was named or found.
    pub(super) path: PathBuf,
}

/// A file as it was read.
#[derive(Debug, Default)]
pub(super) struct File {
    /// Where it really is, for one that is a symbolic link.
    pub(super) target: Option<Box<Path>>,
    /// A stream that cannot be read a second time.
    pub(super) once: bool,
    /// `None` where the next look must not trust it.
    pub(super) identity: Option<Identity>,
    pub(super) documents: Vec<Entry>,
    /// What is behind the last document with content.
    pub(super) tail: Extent,
}

/// A document as it was read.
#[derive(Debug)]
pub(super) struct Entry {
    /// Of its extent.
    pub(super) hash: u128,
    /// Size of its extent: documents are limited to far less than this can say, and so is what may
    /// lie between them where it is used.
    pub(super) bytes: u64,
    pub(super) at: Place,
    pub(super) held: Box<[Held]>,
}

/// Where a document is in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Position in the file, counted from 1.
    pub(super) number: u32,
    /// Line that the extent starts in, counted from 1.
    pub(super) line: u32,
}

/// What became of the documents of a file: some at its front and its back are the same, and those
/// between are new or moved.
#[derive(Debug, Default)]
pub(super) struct Patch {
    pub(super) front: usize,
    pub(super) middle: Vec<Patched>,
    /// How many are the same at the end, and by how much their places moved.
    pub(super) back: usize,
    pub(super) numbers: i64,
    pub(super) lines: i64,
}

/// A document between.
#[derive(Debug)]
pub(super) enum Patched {
    /// The one at this index before.
    Same(usize, Place),
    New(Entry),
}

impl Patch {
    /// The documents that the patch leads to, with their places.
    pub(super) fn documents<'a>(
        &'a self,
        before: &'a [Entry],
    ) -> impl Iterator<Item = (Place, &'a [Held])> {
        let front = before.iter().take(self.front);
        let front = front.map(|entry| (entry.at, &*entry.held));
        let middle = self.middle.iter().map(|patched| match patched {
            Patched::Same(index, at) => (*at, before.get(*index).map_or(&[][..], |e| &e.held)),
            Patched::New(entry) => (entry.at, &*entry.held),
        });
        let back = before.iter().skip(before.len().saturating_sub(self.back));
        let back = back.map(|entry| (self.moved(entry.at), &*entry.held));
        front.chain(middle).chain(back)
    }

    /// The documents that go.
    pub(super) fn gone<'a>(&self, before: &'a [Entry]) -> impl Iterator<Item = &'a Entry> {
        let end = before.len().saturating_sub(self.back);
        let between = before.get(self.front..end).unwrap_or_default();
        let mut stays = vec![false; between.len()];
        for patched in &self.middle {
            if let Patched::Same(index, _) = patched
                && let Some(stays) = stays.get_mut(index - self.front)
            {
                *stays = true;
            }
        }
        let between = between.iter().zip(stays);
        between.filter(|(_, stays)| !stays).map(|(entry, _)| entry)
    }

    /// Applies the patch.
    pub(super) fn apply(self, documents: &mut Vec<Entry>) {
        let mut back = documents.split_off(documents.len().saturating_sub(self.back));
        if (self.numbers, self.lines) != (0, 0) {
            for entry in &mut back {
                entry.at = self.moved(entry.at);
            }
        }
        let between = documents.split_off(self.front.min(documents.len()));
        let mut between: Vec<Option<Entry>> = between.into_iter().map(Some).collect();
        documents.reserve_exact(self.middle.len() + back.len());
        for patched in self.middle {
            match patched {
                Patched::Same(index, at) => {
                    let entry = between.get_mut(index - self.front).and_then(Option::take);
                    documents.extend(entry.map(|entry| Entry { at, ..entry }));
                }
                Patched::New(entry) => documents.push(entry),
            }
        }
        documents.append(&mut back);
    }

    fn moved(&self, at: Place) -> Place {
        let moved = |value: u32, by: i64| u32::try_from(i64::from(value) + by).unwrap_or(u32::MAX);
        Place {
            number: moved(at.number, self.numbers),
            line: moved(at.line, self.lines),
        }
    }
}

/// An object that a document holds. The object itself is in the snapshot.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) kind: Kind,
    /// Item of a list, counted from 1; 0 outside of lists.
    item: u32,
    pub(super) name: NamespacedName,
    /// The Service of the same namespace that a slice belongs to.
    service: Option<Arc<str>>,
}

impl Held {
    fn of(object: &Object, item: Option<u32>) -> Self {
        Self {
            kind: object.kind(),
            name: object.name(),
            service: match object {
                Object::Slice(slice) => Some(Arc::clone(&slice.service.name)),
                _ => None,
            },
            item: item.unwrap_or_default(),
        }
    }

    pub(super) fn all(contents: &Contents) -> Box<[Self]> {
        let objects = contents.objects.iter();
        objects
            .map(|(origin, object)| Self::of(object, origin.item))
            .collect()
    }

    pub(super) fn key(&self) -> ObjectKey {
        (self.kind, self.name.clone())
    }

    pub(super) fn item(&self) -> Option<u32> {
        (self.item > 0).then_some(self.item)
    }

    /// The Service that a slice belongs to.
    pub(super) fn service(&self) -> Option<NamespacedName> {
        let service = self.service.as_ref()?;
        let namespace = Arc::clone(&self.name.namespace);
        Some(NamespacedName::new(namespace, Arc::clone(service)))
    }
}

/// What may be defined only once.
pub(super) type ObjectKey = (Kind, NamespacedName);

/// What tells that a file was not written to nor replaced: a hash of where it is, its size and its
/// times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity(u128);

/// File systems stamp times in steps of up to this.
const COARSEST_STEP: Duration = Duration::from_millis(20);

impl Identity {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let modified = [metadata.mtime(), metadata.mtime_nsec()];
        let changed = [metadata.ctime(), metadata.ctime_nsec()];
        let place = [metadata.dev(), metadata.ino(), metadata.size()];
        let times = modified.into_iter().chain(changed).map(i64::to_ne_bytes);
        let numbers = place.map(u64::to_ne_bytes).into_iter().chain(times);
        let bytes: Vec<u8> = numbers.flatten().collect();
        Self(Extent::of(&bytes).hash)
    }

    /// As [`of`](Self::of), for a file that is going to be read; `None` if it changed so recently
    /// that a later change could leave the same times.
    pub(super) fn lasting(metadata: &Metadata) -> Option<Self> {
        let seconds = Duration::from_secs(u64::try_from(metadata.ctime()).ok()?);
        let nanoseconds = Duration::from_nanos(u64::try_from(metadata.ctime_nsec()).ok()?);
        let changed = UNIX_EPOCH + seconds + nanoseconds;
        let age = SystemTime::now().duration_since(changed).ok()?;
        (age > COARSEST_STEP).then(|| Self::of(metadata))
    }
}

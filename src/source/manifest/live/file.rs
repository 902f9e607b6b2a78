//! What is remembered of a file: enough to tell what changed in it and what that takes away.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::document::Contents;
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
#[derive(Debug)]
pub(super) struct File {
    /// How messages name it.
    pub(super) name: Arc<str>,
    /// Where it really is, for one that is a symbolic link.
    pub(super) target: Option<Box<Path>>,
    /// A stream that cannot be read a second time.
    pub(super) once: bool,
    /// `None` where the next look must not trust it.
    pub(super) identity: Option<Identity>,
    pub(super) documents: Box<[Entry]>,
}

/// A document as it was read.
#[derive(Debug)]
pub(super) struct Entry {
    /// Of its text.
    pub(super) hash: u128,
    /// Position in the file, counted from 1.
    pub(super) number: u32,
    pub(super) held: Box<[Held]>,
}

/// An object that a document holds. The object itself is in the snapshot.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) kind: Kind,
    pub(super) name: NamespacedName,
    /// The Service that a slice belongs to.
    pub(super) service: Option<NamespacedName>,
    /// Item of a list, counted from 1.
    pub(super) item: Option<u32>,
}

impl Held {
    pub(super) fn of(object: &Object, item: Option<u32>) -> Self {
        Self {
            kind: object.kind(),
            name: object.name(),
            service: match object {
                Object::Slice(slice) => Some(slice.service.clone()),
                _ => None,
            },
            item,
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
}

/// What may be defined only once.
pub(super) type ObjectKey = (Kind, NamespacedName);

/// What tells that a file was not written to nor replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// File systems stamp times in steps of up to this.
const COARSEST_STEP: Duration = Duration::from_millis(20);

impl Identity {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// As [`of`](Self::of), for a file that is going to be read; `None` if it changed so recently
    /// that a later change could leave the same times.
    pub(super) fn lasting(metadata: &Metadata) -> Option<Self> {
        let identity = Self::of(metadata);
        let (seconds, nanoseconds) = identity.changed;
        let seconds = Duration::from_secs(u64::try_from(seconds).ok()?);
        let nanoseconds = Duration::from_nanos(u64::try_from(nanoseconds).ok()?);
        let changed = UNIX_EPOCH + seconds + nanoseconds;
        let age = SystemTime::now().duration_since(changed).ok()?;
        (age > COARSEST_STEP).then_some(identity)
    }
}

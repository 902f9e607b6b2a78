//! A new state of the files, complete and free of errors, but not in force yet.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use super::super::collect::{MAX_ERRORS, SkippedKinds};
use super::super::document::Contents;
use super::super::extent::Extent;
use super::super::kind::Kind;
use super::super::object::Object;
use super::super::problem::{ManifestError, ManifestErrors, Note, Origin};
use super::LiveManifests;
use super::file::{FileKey, Held, Identity, ObjectKey, Patch, Patched};
use super::listing::{Arguments, Listing, target};
use super::look::{Look, Looker, is_as_before};
use super::reading::FileReader;
use crate::model::{NamespacedName, Service};
use crate::source::changes::Changes;
use crate::source::manifest::paths::{self, Input};
use crate::source::watch::WatchList;

/// What a set of changed files comes to.
#[derive(Debug, Default)]
pub struct Staged {
    /// Services as their manifests have them, to be given addresses; `None` for those that went.
    pub services: BTreeMap<NamespacedName, Option<Service>>,
    /// Where each of these Services is defined.
    pub origins: BTreeMap<NamespacedName, Origin>,
    /// What the authors should know.
    pub notes: Vec<Note>,
    pub(super) files: BTreeMap<FileKey, Option<Reread>>,
    pub(super) removed: Vec<Held>,
    /// Everything that came or changed but Services.
    pub(super) added: Vec<Object>,
    pub(super) added_keys: Vec<ObjectKey>,
    /// What the arguments are now, if that was looked at.
    pub(super) arguments: Option<Arguments>,
}

/// A file that was read (again).
#[derive(Debug)]
pub(super) struct Reread {
    pub(super) target: Option<Box<Path>>,
    pub(super) once: bool,
    pub(super) identity: Option<Identity>,
    pub(super) patch: Patch,
    pub(super) tail: Extent,
}

/// Collects what files give.
#[derive(Default)]
pub(super) struct Stage {
    pub(super) staged: Staged,
    skipped: SkippedKinds,
    pub(super) errors: Vec<(FileKey, ManifestError)>,
}

impl LiveManifests {
    /// Reads what changed, and what changed before and was refused. Nothing is in force until
    /// [`commit`](Self::commit).
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the set of all manifests as it is now.
    pub fn stage(&mut self, what: &Changes) -> Result<Staged, ManifestErrors> {
        self.dirty.extend(what.clone());
        let mut stage = Stage::default();
        let looker = Looker {
            files: &self.files,
            links: &self.links,
            arguments: &self.arguments,
            ways: self.watch_list.ways(),
        };
        let mut look = looker.look(&self.dirty);
        if look.relist {
            // Also where the set is refused: what is missing has to be waited for.
            self.watch_list = WatchList::of_input(&self.input);
            let listing = Listing::of(&self.input);
            look = self.compare(&listing);
            stage.errors = listing.errors;
            stage.staged.arguments = Some(listing.arguments);
        }
        for key in look.gone {
            self.forget(&key, &mut stage.staged);
        }
        for key in look.read {
            self.read(key, &mut stage);
        }
        self.find_twice(&mut stage);
        stage.finish()
    }

    /// What to read after a new listing.
    fn compare(&self, listing: &Listing) -> Look {
        let listed: HashSet<&FileKey> = listing.found.iter().collect();
        let gone = self.files.keys().filter(|key| !listed.contains(key));
        let is_changed = |key: &&FileKey| match self.files.get(*key) {
            None => true,
            Some(known) if known.once => false,
            Some(known) => {
                self.dirty.everything
                    || self.dirty.paths.contains(&key.path)
                    || !is_as_before(&key.path, known)
            }
        };
        let read = listing.found.iter().filter(is_changed);
        Look {
            relist: true,
            read: read.cloned().collect(),
            gone: gone.cloned().collect(),
        }
    }

    fn forget(&self, key: &FileKey, staged: &mut Staged) {
        if let Some(file) = self.files.get(key) {
            let held = file.documents.iter().flat_map(|document| &document.held);
            staged.removed.extend(held.cloned());
        }
        staged.files.insert(key.clone(), None);
    }

    fn is_stdin(&self, key: &FileKey) -> bool {
        let argument = self.input.paths.get(key.argument);
        key.path.as_os_str() == "-" && argument.is_some_and(|text| text == "-")
    }

    /// How messages name a file.
    pub(super) fn name(&self, key: &FileKey) -> Arc<str> {
        if self.is_stdin(key) {
            Input::Stdin.name()
        } else {
            Input::File(key.path.clone()).name()
        }
    }

    fn read(&mut self, key: FileKey, stage: &mut Stage) {
        let name = self.name(&key);
        let is_stdin = self.is_stdin(&key);
        let once = is_stdin || paths::is_inherited(&key.path);
        let before = self.files.get(&key);
        let mut reader = FileReader {
            name: &name,
            strict: self.input.strict,
            names: &mut self.names,
            before: before.map_or(&[], |file| &file.documents),
            tail: before.map_or(Extent::of(b""), |file| file.tail),
        };
        let mut identity = None;
        let reading = if is_stdin {
            reader.stream(std::io::stdin())
        } else {
            match paths::open(&key.path) {
                Ok(file) if once => reader.stream(file),
                Ok(file) => {
                    let metadata = file.metadata().ok();
                    identity = metadata.as_ref().and_then(Identity::lasting);
                    reader.file(&file)
                }
                Err(problem) => {
                    let error = ManifestError::new(Origin::file(name), problem);
                    stage.errors.push((key, error));
                    return;
                }
            }
        };
        let before = reader.before;
        let file = Reread {
            target: target(&key.path).filter(|_| !is_stdin),
            once,
            identity,
            patch: reading.patch,
            tail: reading.tail,
        };
        let mut found = reading.errors.len();
        for error in reading.errors {
            let mut origin = Origin::file(Arc::clone(&name));
            origin.document = error.document;
            let error = ManifestError::new(origin, error.problem);
            stage.errors.push((key.clone(), error));
        }
        found += file.patch.documents(before).count();
        if found == 0 {
            stage.staged.notes.push(Note {
                origin: Origin::file(Arc::clone(&name)),
                object: None,
                text: "holds no objects".to_owned(),
            });
        }
        let gone = file.patch.gone(before).flat_map(|document| &document.held);
        stage.staged.removed.extend(gone.cloned());
        for patched in &file.patch.middle {
            if let Patched::New(document) = patched {
                let keys = document.held.iter().map(Held::key);
                stage.staged.added_keys.extend(keys);
            }
        }
        for contents in reading.contents {
            stage.contents(&key, contents);
        }
        stage.staged.files.insert(key, Some(file));
    }
}

impl Stage {
    fn contents(&mut self, key: &FileKey, contents: Contents) {
        self.staged.notes.extend(contents.notes);
        self.skipped.extend(contents.skipped);
        let errors = contents.errors.into_iter();
        self.errors.extend(errors.map(|error| (key.clone(), error)));
        for (origin, object) in contents.objects {
            match object {
                Object::Service(service) => {
                    let name = service.name.clone();
                    self.staged.origins.insert(name.clone(), origin);
                    self.staged.services.insert(name, Some(*service));
                }
                other => self.staged.added.push(other),
            }
        }
    }

    fn finish(mut self) -> Result<Staged, ManifestErrors> {
        let mut staged = self.staged;
        staged.notes.extend(self.skipped.notes());
        if !self.errors.is_empty() {
            // In the order of the input; within a document as they were found.
            self.errors.sort_by(|(one, a), (other, b)| {
                (one, a.origin.document).cmp(&(other, b.origin.document))
            });
            let omitted = self.errors.len().saturating_sub(MAX_ERRORS);
            let errors = self.errors.into_iter().take(MAX_ERRORS);
            return Err(ManifestErrors {
                errors: errors.map(|(_, error)| error).collect(),
                omitted,
                notes: staged.notes,
            });
        }
        for held in &staged.removed {
            if held.kind == Kind::Service {
                staged.services.entry(held.name.clone()).or_insert(None);
            }
        }
        Ok(staged)
    }
}

//! From changed paths to the files that must be read: a path alone says little, since it may be a
//! manifest, a directory on the way to one, or what a link leads through.
//!
//! Must not read files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::path::{Path, PathBuf};

use super::super::paths;
use super::file::{File, FileKey, Identity};
use super::listing::{ArgumentKind, Arguments, target};
use crate::source::changes::Changes;

/// What to do about a set of changes.
#[derive(Debug, Default)]
pub(super) struct Look {
    /// The arguments have to be expanded again.
    pub(super) relist: bool,
    /// Files to read: known ones, or new ones in a directory.
    pub(super) read: BTreeSet<FileKey>,
    /// Known files that are no longer there.
    pub(super) gone: BTreeSet<FileKey>,
}

/// Decides for paths one at a time, at a cost that does not grow with the number of files.
pub(super) struct Looker<'a> {
    pub(super) files: &'a BTreeMap<FileKey, File>,
    pub(super) links: &'a BTreeSet<FileKey>,
    pub(super) arguments: &'a Arguments,
    /// Paths whose replacement may concern any file.
    pub(super) ways: &'a BTreeSet<PathBuf>,
}

impl Looker<'_> {
    pub(super) fn look(&self, changes: &Changes) -> Look {
        let mut look = Look {
            relist: changes.everything,
            ..Look::default()
        };
        for path in &changes.paths {
            if look.relist {
                break;
            }
            if !self.place(path, &mut look) && self.ways.contains(path) {
                self.behind_links(path, &mut look);
            }
        }
        if look
            .gone
            .iter()
            .any(|key| !self.leaves_some(key, &look.gone))
        {
            look.relist = true;
        }
        look
    }

    /// Finds the place of one path; false if no argument names it.
    fn place(&self, path: &Path, look: &mut Look) -> bool {
        let mut ours = false;
        for (number, argument) in self.arguments.list.iter().enumerate() {
            if argument.kind == ArgumentKind::Stdin {
                continue;
            }
            let key = FileKey {
                argument: number,
                path: path.to_owned(),
            };
            if self.files.contains_key(&key) {
                ours = true;
                self.known(key, argument.kind, look);
            } else if argument.path.starts_with(path) {
                // The argument itself, or a directory above it.
                look.relist = true;
            } else if argument.kind == ArgumentKind::Other {
                look.relist |= self.concerns_pattern(&argument.path, &key);
            } else if let Ok(below) = path.strip_prefix(&argument.path) {
                let depth = below.components().count();
                if depth == 1 || self.arguments.recursive {
                    ours |= self.unknown(key, look);
                }
            }
        }
        ours
    }

    /// A path that links lead to, or through, as `..data` is in a mounted ConfigMap.
    fn behind_links(&self, path: &Path, look: &mut Look) {
        let leads_here = |key: &&FileKey| {
            let file = self.files.get(*key);
            let known = file.and_then(|file| file.target.as_deref());
            known == Some(path) && known == target(&key.path).as_deref()
        };
        let read: Vec<FileKey> = self.links.iter().filter(leads_here).cloned().collect();
        look.relist |= read.is_empty();
        look.read.extend(read);
    }

    fn known(&self, key: FileKey, kind: ArgumentKind, look: &mut Look) {
        let Some(file) = self.files.get(&key) else {
            return;
        };
        if file.once {
            return;
        }
        let found = key.path.symlink_metadata();
        let is_there = found.is_ok();
        let is_directory = found.is_ok_and(|metadata| metadata.is_dir());
        let moved = is_there && target(&key.path) != file.target;
        if is_directory || moved || (!is_there && self.cannot_go(kind)) {
            look.relist = true;
        } else if is_there {
            look.read.insert(key);
        } else {
            look.gone.insert(key);
        }
    }

    /// A file that goes may uncover another name of it, or leave an argument without any.
    fn cannot_go(&self, kind: ArgumentKind) -> bool {
        kind != ArgumentKind::Directory || self.arguments.entangled
    }

    /// A path in a directory that held no manifest so far; false if it is none now either.
    fn unknown(&self, key: FileKey, look: &mut Look) -> bool {
        let metadata = key.path.symlink_metadata();
        let is_directory = metadata.as_ref().is_ok_and(Metadata::is_dir);
        if is_directory || (metadata.is_err() && self.held_some_below(&key)) {
            look.relist |= self.arguments.recursive;
            return true;
        }
        if !paths::is_manifest(&key.path) {
            return false;
        }
        match metadata {
            Err(_) => {}
            Ok(metadata) if metadata.is_symlink() || self.arguments.entangled => {
                look.relist = true;
            }
            // A link may have led to it already.
            Ok(_) if !self.links.is_empty() => look.relist = true,
            Ok(_) => drop(look.read.insert(key)),
        }
        true
    }

    fn held_some_below(&self, key: &FileKey) -> bool {
        let next = self.files.range(key..).next();
        next.is_some_and(|(next, _)| {
            next.argument == key.argument && next.path.starts_with(&key.path)
        })
    }

    /// A path that a pattern could match, lead through, or find in a directory it matches.
    fn concerns_pattern(&self, pattern: &Path, key: &FileKey) -> bool {
        let text = pattern.to_string_lossy();
        let matches = || glob::Pattern::new(&text).is_ok_and(|p| p.matches_path(&key.path));
        text.contains(['*', '?', '['])
            && (paths::is_manifest(&key.path)
                || key.path.is_dir()
                || self.held_some_below(key)
                || matches())
    }

    /// The argument keeps other files: one without any is an error.
    fn leaves_some(&self, key: &FileKey, gone: &BTreeSet<FileKey>) -> bool {
        let first = FileKey {
            argument: key.argument,
            path: Path::new("").into(),
        };
        let mut of_argument = self
            .files
            .range(first..)
            .map(|(other, _)| other)
            .take_while(|other| other.argument == key.argument);
        of_argument.any(|other| !gone.contains(other))
    }
}

/// Nobody wrote to a file or replaced it since it was read.
pub(super) fn is_as_before(path: &Path, file: &File) -> bool {
    if file.once {
        return true;
    }
    let now = path.metadata().ok().map(|metadata| Identity::of(&metadata));
    now.is_some() && now == file.identity && target(path) == file.target
}

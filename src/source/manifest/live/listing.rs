//! All files that the arguments name at a moment.
//!
//! Must not read them.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::super::ManifestInput;
use super::super::paths::{self, Input};
use super::super::problem::{ManifestError, Origin, PathProblem, Problem};
use super::file::FileKey;

/// What the arguments lead to.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// In the order they are to be read, each once.
    pub(super) found: Vec<FileKey>,
    pub(super) errors: Vec<(FileKey, ManifestError)>,
    pub(super) arguments: Arguments,
}

/// What the arguments are, for placing a single path without listing everything.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    pub(super) list: Vec<Argument>,
    pub(super) recursive: bool,
    /// Some file is named more than once, or could be: a path alone does not tell whose it is.
    pub(super) entangled: bool,
}

/// An argument.
#[derive(Debug)]
pub(super) struct Argument {
    pub(super) path: PathBuf,
    pub(super) kind: ArgumentKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ArgumentKind {
    Stdin,
    Directory,
    /// A file, a pattern, or nothing that exists.
    Other,
}

impl Listing {
    pub(super) fn of(input: &ManifestInput) -> Self {
        let mut listing = Self::default();
        listing.arguments.recursive = input.recursive;
        let mut names = Names::default();
        let mut stdin = false;
        for (argument, text) in input.paths.iter().enumerate() {
            for found in paths::expand(text, input.recursive) {
                match found {
                    Ok(Input::Stdin) if stdin => {
                        let problem = Problem::Path(PathProblem::StdinTwice);
                        let error = ManifestError::new(Origin::file(text.as_str()), problem);
                        listing.error(argument, error);
                    }
                    Ok(Input::Stdin) => {
                        stdin = true;
                        let path = PathBuf::from("-");
                        listing.found.push(FileKey { argument, path });
                    }
                    Ok(Input::File(path)) if names.add(&path) => {
                        listing.found.push(FileKey { argument, path });
                    }
                    Ok(Input::File(_)) => listing.arguments.entangled = true,
                    Err(error) => listing.error(argument, error),
                }
            }
            listing.arguments.list.push(Argument::of(text));
        }
        listing.arguments.entangled |= listing.arguments.overlap();
        listing
    }

    fn error(&mut self, argument: usize, error: ManifestError) {
        let path = PathBuf::from(&*error.origin.file);
        self.errors.push((FileKey { argument, path }, error));
    }
}

/// The real places of files, so that each is read once.
#[derive(Default)]
struct Names {
    seen: HashSet<PathBuf>,
    directories: HashMap<PathBuf, PathBuf>,
}

impl Names {
    /// False if the file is known.
    fn add(&mut self, path: &Path) -> bool {
        let real = match target(path) {
            Some(target) => target.into_path_buf(),
            None => self.real(path),
        };
        self.seen.insert(real)
    }

    fn real(&mut self, path: &Path) -> PathBuf {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return path.to_owned();
        };
        if let Some(real) = self.directories.get(directory) {
            return real.join(name);
        }
        let shown = if directory.as_os_str().is_empty() {
            Path::new(".")
        } else {
            directory
        };
        let real = shown.canonicalize().unwrap_or_else(|_| shown.to_owned());
        let full = real.join(name);
        self.directories.insert(directory.to_owned(), real);
        full
    }
}

/// Where a symbolic link leads in the end; itself if it leads nowhere.
pub(super) fn target(path: &Path) -> Option<Box<Path>> {
    let is_link = path.symlink_metadata().is_ok_and(|m| m.is_symlink());
    is_link.then(|| {
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        real.into_boxed_path()
    })
}

impl Argument {
    fn of(text: &str) -> Self {
        let path = PathBuf::from(text);
        let kind = match path.metadata() {
            _ if text == "-" => ArgumentKind::Stdin,
            Ok(metadata) if metadata.is_dir() => ArgumentKind::Directory,
            _ => ArgumentKind::Other,
        };
        Self { path, kind }
    }
}

impl Arguments {
    /// One argument is within another, or may be.
    fn overlap(&self) -> bool {
        let real: Vec<PathBuf> = self
            .list
            .iter()
            .filter(|argument| argument.kind != ArgumentKind::Stdin)
            .map(|argument| {
                let real = argument.path.canonicalize();
                real.unwrap_or_else(|_| PathBuf::from("/"))
            })
            .collect();
        real.iter().enumerate().any(|(i, one)| {
            let others = real.iter().enumerate();
            others
                .filter(|(j, _)| i != *j)
                .any(|(_, other)| other.starts_with(one))
        })
    }
}

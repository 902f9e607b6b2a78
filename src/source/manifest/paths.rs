//! What `-f` names into files to read: files, directories, patterns, standard input.
//!
//! Owns which files of a directory count and the order they come in. Opens files, and refuses
//! everything that could block or never end. Must not read them.

use std::ffi::OsStr;
use std::fs::{self, File, FileType};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::problem::{ManifestError, Origin, PathProblem, Problem};

/// Something to read documents from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Stdin,
    File(PathBuf),
}

impl Input {
    /// How messages name it.
    pub(super) fn name(&self) -> Arc<str> {
        match self {
            Self::Stdin => "stdin".into(),
            Self::File(path) => path.to_string_lossy().into(),
        }
    }
}

/// The inputs that one argument names, in the order they are to be read.
pub(super) fn expand(argument: &str, recursive: bool) -> Vec<Result<Input, ManifestError>> {
    let refuse = |problem| {
        let origin = Origin::file(argument);
        vec![Err(ManifestError::new(origin, problem))]
    };
    if argument == "-" {
        return vec![Ok(Input::Stdin)];
    }
    let path = Path::new(argument);
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => directory(path, recursive),
        Ok(_) => vec![Ok(Input::File(path.to_owned()))],
        Err(error) if error.kind() != io::ErrorKind::NotFound => refuse(io_problem("open", error)),
        Err(_) if argument.starts_with("http://") || argument.starts_with("https://") => {
            refuse(Problem::Path(PathProblem::Url))
        }
        Err(_) if argument.contains(['*', '?', '[']) => match pattern(argument, recursive) {
            Ok(inputs) => inputs,
            Err(problem) => refuse(Problem::Path(problem)),
        },
        Err(_) => refuse(Problem::Path(PathProblem::Missing)),
    }
}

fn io_problem(action: &'static str, error: io::Error) -> Problem {
    Problem::Io { action, error }
}

fn pattern(
    pattern: &str,
    recursive: bool,
) -> Result<Vec<Result<Input, ManifestError>>, PathProblem> {
    let matches = glob::glob(pattern).map_err(|e| PathProblem::Pattern(e.msg.to_owned()))?;
    let mut inputs = Vec::new();
    for found in matches {
        match found {
            Ok(path) if path.is_dir() => inputs.extend(directory(&path, recursive)),
            Ok(path) => inputs.push(Ok(Input::File(path))),
            Err(error) => {
                let origin = Origin::file(error.path().to_string_lossy());
                let problem = io_problem("open", error.into());
                inputs.push(Err(ManifestError::new(origin, problem)));
            }
        }
    }
    if inputs.is_empty() {
        return Err(PathProblem::NoMatch);
    }
    Ok(inputs)
}

/// Manifests in a directory by name, as `kubectl apply -f DIR` takes them.
fn directory(path: &Path, recursive: bool) -> Vec<Result<Input, ManifestError>> {
    let mut inputs = Vec::new();
    walk(path, recursive, &mut inputs);
    if inputs.is_empty() {
        let hint = if recursive {
            " (nor in those below)"
        } else {
            ""
        };
        let problem = Problem::Path(PathProblem::NoManifests(hint));
        let origin = Origin::file(path.to_string_lossy());
        inputs.push(Err(ManifestError::new(origin, problem)));
    }
    inputs
}

fn walk(path: &Path, recursive: bool, inputs: &mut Vec<Result<Input, ManifestError>>) {
    let entries = match fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
        Ok(entries) => entries,
        Err(error) => {
            let origin = Origin::file(path.to_string_lossy());
            inputs.push(Err(ManifestError::new(origin, io_problem("open", error))));
            return;
        }
    };
    let mut entries: Vec<(PathBuf, Option<FileType>)> = entries
        .into_iter()
        .map(|entry| (entry.path(), entry.file_type().ok()))
        .collect();
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (path, file_type) in entries {
        // Links to directories are not followed: they may lead back up.
        if file_type.is_some_and(|t| t.is_dir()) {
            if recursive {
                walk(&path, recursive, inputs);
            }
        } else if is_manifest(&path) && !path.is_dir() {
            inputs.push(Ok(Input::File(path)));
        }
    }
}

pub(super) fn is_manifest(path: &Path) -> bool {
    matches!(
        path.extension().and_then(OsStr::to_str),
        Some("yaml" | "yml" | "json")
    )
}

/// Opens a file for reading; what is no file but could be read without end is refused.
pub(super) fn open(path: &Path) -> Result<File, Problem> {
    // A pipe that nobody writes to would block the opening itself.
    let file = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(|error| io_problem("open", error))?;
    let file_type = file
        .metadata()
        .map_err(|error| io_problem("read", error))?
        .file_type();
    if file_type.is_file() {
        return Ok(file);
    }
    if is_inherited(path) {
        // `-f <(command)` and /dev/stdin: a pipe that someone is writing to. Opened afresh, since
        // the first time asked not to wait.
        return File::open(path).map_err(|error| io_problem("open", error));
    }
    let what = match file_type {
        t if t.is_dir() => "directory",
        t if t.is_fifo() => "named pipe",
        t if t.is_socket() => "socket",
        _ => "device",
    };
    Err(Problem::Path(PathProblem::NotAFile(what)))
}

/// Names a file descriptor that this process was started with.
pub(super) fn is_inherited(path: &Path) -> bool {
    path == Path::new("/dev/stdin")
        || path.starts_with("/dev/fd")
        || path.starts_with("/proc/self/fd")
}

//! The file: written beside its place, checked, renamed.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::NamedTempFile;

/// Why a configuration is not in place. The one before is.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file or its directory.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is no such program.
    #[error("cannot run {}", program.display())]
    Program {
        /// Which.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// HAProxy does not take it.
    #[error("haproxy refuses the configuration, which was not put in place:\n{0}")]
    Refused(String),
}

/// A configuration that HAProxy has taken, beside its place.
#[derive(Debug)]
pub struct Checked {
    new: NamedTempFile,
    path: PathBuf,
}

impl Checked {
    /// Writes a configuration beside its place and has it checked by `haproxy -c`.
    ///
    /// # Errors
    /// See [`FileError`].
    pub fn new(text: &str, path: &Path, haproxy: &Path) -> Result<Self, FileError> {
        let write = |source| FileError::Write {
            path: path.to_owned(),
            source,
        };
        let directory = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        let mut new = tempfile::Builder::new()
            .prefix(&name)
            .tempfile_in(directory.unwrap_or(Path::new(".")))
            .map_err(write)?;
        // As it is; a new one is for all to read, as packages install theirs.
        let mode = fs::metadata(path).map_or(0o644, |present| present.permissions().mode());
        let prepared = new
            .as_file()
            .set_permissions(Permissions::from_mode(mode & 0o777))
            .and_then(|()| new.write_all(text.as_bytes()))
            .and_then(|()| new.as_file().sync_all());
        prepared.map_err(write)?;
        check(new.path(), haproxy)?;
        let path = path.to_owned();
        Ok(Self { new, path })
    }

    /// Puts it in place, at once.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub fn install(self) -> Result<(), FileError> {
        let Self { new, path } = self;
        let persisted = new.persist(&path);
        persisted.map(drop).map_err(|error| FileError::Write {
            path,
            source: error.error,
        })
    }
}

fn check(path: &Path, haproxy: &Path) -> Result<(), FileError> {
    let output = Command::new(haproxy).arg("-c").arg("-f").arg(path).output();
    let output = output.map_err(|source| FileError::Program {
        program: haproxy.to_owned(),
        source,
    })?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(FileError::Refused(words.trim_end().to_owned()))
}

//! The state directory: what was allocated to Services, kept from one run to the next.
//!
//! Owns two files, `allocations.json` and what changed since it was written
//! (`allocations.journal`, see [`journal`]), and the lock that keeps a second process from changing
//! them. Must not decide what is allocated (that is [`crate::model::allocate`]).
//!
//! A reader needs no lock: the file is replaced as a whole by a rename, so it is either the old one
//! or the new one, also after a crash in the middle of writing; and a journal says which file it
//! belongs to.

mod error;
mod journal;
mod lock;

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::allocate::{AllocationChanges, Allocations};
use error::{corrupt, failed};
use journal::Journal;
use lock::take_lock;

pub use error::StateError;

/// Format of the file; a change that this version could not read raises it.
const VERSION: u64 = 1;
const FILE: &str = "allocations.json";
/// Files being written: this, something random, [`TEMPORARY_END`].
const TEMPORARY: &str = ".allocations.";
const TEMPORARY_END: &str = ".tmp";
/// How long to wait for another process.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a directory is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// To change it: it is created if missing, and no other process can open it so meanwhile.
    Exclusive,
    /// To read it: nothing is created, no lock is taken.
    ReadOnly,
}

/// An open state directory. Dropping it releases the lock.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    /// Held for its lock.
    lock: Option<File>,
    /// Open once something was appended.
    journal: Option<Journal>,
}

/// The file's content.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    version: u64,
    services: Allocations,
}

/// As much of the file as every version has.
#[derive(Deserialize)]
struct Header {
    version: u64,
}

impl StateDir {
    /// Opens a state directory. With [`LockMode::Exclusive`] it is created if missing, and another
    /// process that has it open so is waited for, ten seconds at most.
    ///
    /// # Errors
    ///
    /// [`StateError::Held`] if the other process did not end, [`StateError::Io`] if the directory
    /// or its lock cannot be made.
    pub fn open(path: impl Into<PathBuf>, mode: LockMode) -> Result<Self, StateError> {
        Self::open_within(path.into(), mode, PATIENCE)
    }

    fn open_within(path: PathBuf, mode: LockMode, patience: Duration) -> Result<Self, StateError> {
        if mode == LockMode::ReadOnly {
            return Ok(Self {
                path,
                lock: None,
                journal: None,
            });
        }
        fs::create_dir_all(&path).map_err(failed("create the state directory", &path))?;
        let lock = take_lock(&path, patience)?;
        let dir = Self {
            path,
            lock: Some(lock),
            journal: None,
        };
        dir.sweep();
        Ok(dir)
    }

    /// What was last written; nothing if the directory or its file does not exist.
    ///
    /// # Errors
    ///
    /// [`StateError::Corrupt`] and [`StateError::Version`] for a file that this portolan did not
    /// write, [`StateError::Io`] for one that cannot be read.
    pub fn read(&self) -> Result<Allocations, StateError> {
        let mut text = self.read_file()?;
        let mut journal = journal::read(&self.path)?;
        if journal
            .as_ref()
            .is_some_and(|journal| !journal.follows(&text))
        {
            // A writer may have been between the two; if it was not, the journal is a left-over.
            text = self.read_file()?;
            journal = journal::read(&self.path)?.filter(|journal| journal.follows(&text));
        }
        let mut allocations = self.parse(&text)?;
        if let Some(journal) = journal {
            allocations.apply(journal.changes);
        }
        Ok(allocations)
    }

    /// The file's bytes; none if it does not exist.
    fn read_file(&self) -> Result<Vec<u8>, StateError> {
        let path = self.path.join(FILE);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            read => read.map_err(failed("read", &path)),
        }
    }

    fn parse(&self, text: &[u8]) -> Result<Allocations, StateError> {
        let path = self.path.join(FILE);
        if text.is_empty() && !path.exists() {
            return Ok(Allocations::default());
        }
        let header: Header = serde_json::from_slice(text).map_err(corrupt(&path))?;
        if header.version != VERSION {
            return Err(StateError::Version {
                path,
                found: header.version,
            });
        }
        let state: State = serde_json::from_slice(text).map_err(corrupt(&path))?;
        Ok(state.services)
    }

    /// Replaces what is kept. Nothing is written if it is the same already.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read): a file that cannot be understood is never overwritten. Also
    /// [`StateError::ReadOnly`], and [`StateError::Io`] if the new file cannot be put in place; the
    /// old one is then still there.
    pub fn write(&self, allocations: &Allocations) -> Result<(), StateError> {
        if self.lock.is_none() {
            return Err(StateError::ReadOnly {
                path: self.path.clone(),
            });
        }
        let path = self.path.join(FILE);
        let same = self.read()? == *allocations;
        if same && path.exists() {
            return Ok(());
        }
        self.write_whole(allocations).map(drop)
    }

    /// [`write`](Self::write) for one who goes on with [`append`](Self::append): what changes is to
    /// be based on the file as it is now.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn replace_all(&mut self, allocations: &Allocations) -> Result<(), StateError> {
        self.journal = None;
        let base = self.read_file()?;
        let journal = self.path.join(journal::FILE);
        if !base.is_empty() && !journal.exists() && self.parse(&base)? == *allocations {
            self.journal = Some(Journal::after(&self.path, &base));
            return Ok(());
        }
        // What cannot be understood is never overwritten.
        self.read()?;
        let text = self.write_whole(allocations)?;
        self.journal = Some(Journal::after(&self.path, &text));
        Ok(())
    }

    /// Keeps some changes, at a cost that depends on them; now and then the whole file is written
    /// anew, for which `all` gives everything with the changes applied.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write). The changes are then not kept.
    pub fn append(
        &mut self,
        changes: AllocationChanges,
        all: impl FnOnce() -> Allocations,
    ) -> Result<(), StateError> {
        if changes.is_empty() {
            return Ok(());
        }
        match &mut self.journal {
            Some(journal) if !journal.is_full() => journal.append(changes),
            _ => self.replace_all(&all()),
        }
    }

    /// Replaces the file, and gives its bytes.
    fn write_whole(&self, allocations: &Allocations) -> Result<Vec<u8>, StateError> {
        if self.lock.is_none() {
            return Err(StateError::ReadOnly {
                path: self.path.clone(),
            });
        }
        let path = self.path.join(FILE);
        let state = State {
            version: VERSION,
            services: allocations.clone(),
        };
        let mut text = serde_json::to_vec_pretty(&state)
            .map_err(|error| failed("write", &path)(error.into()))?;
        text.push(b'\n');
        self.replace(&path, &text)
            .map_err(failed("replace", &path))?;
        // It no longer belongs to the file, and is ignored from here on.
        let journal = self.path.join(journal::FILE);
        match fs::remove_file(&journal) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("remove", &journal)(error))
            }
            _ => Ok(text),
        }
    }

    /// Puts a file in place as a whole. The order matters: content on disk before the name that
    /// points to it, and the name on disk before anybody is told that it is done.
    fn replace(&self, path: &Path, text: &[u8]) -> io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(TEMPORARY)
            .suffix(TEMPORARY_END)
            .permissions(fs::Permissions::from_mode(0o644))
            .tempfile_in(&self.path)?;
        file.write_all(text)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        File::open(&self.path)?.sync_all()
    }

    /// Removes files that a killed writer left half-written; they harm nobody if they stay.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.path) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(TEMPORARY)
                && name.ends_with(TEMPORARY_END)
                && let Err(error) = fs::remove_file(entry.path())
            {
                tracing::debug!(path = %entry.path().display(), %error, "left-over file stays");
            }
        }
    }
}

#[cfg(test)]
mod tests;

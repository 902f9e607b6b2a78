//! The state directory: what was allocated to Services, kept from one run to the next.
//!
//! Owns two files, `allocations.json` and what changed since it was written
//! (`allocations.journal`, see [`journal`]), and the lock that keeps a second process from changing
//! them. Must not decide what is allocated (that is [`crate::model::allocate`]).
//!
//! A reader needs no lock: the file is replaced as a whole by a rename, so it is either the old one
//! or the new one, also after a crash in the middle of writing; and a journal says which file it
//! belongs to.

mod journal;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::model::allocate::{AllocationChanges, Allocations};
use journal::Journal;

/// Format of the file; a change that this version could not read raises it.
const VERSION: u64 = 1;
const FILE: &str = "allocations.json";
const LOCK: &str = "lock";
/// Files being written: this, something random, [`TEMPORARY_END`].
const TEMPORARY: &str = ".allocations.";
const TEMPORARY_END: &str = ".tmp";
/// How long to wait for another process, and how often to look.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

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

/// Why state cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried: `read`, `replace`, …
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Another process has the lock and did not let go of it in time.
    #[error(
        "{holder} is using the state directory {}, and still was after {} s; try again when it has ended",
        path.display(), waited.as_secs(), holder = holder(*.pid)
    )]
    Held {
        /// The state directory.
        path: PathBuf,
        /// The process, if it could be told.
        pid: Option<u32>,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The file is not what portolan writes.
    #[error(
        "{}: line {line} column {column}: {reason}; the file is left as it is: restore it from a copy, or move it away to have addresses and node ports chosen anew",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in bytes; 0 before the first byte of a line.
        column: usize,
        /// What is wrong there.
        reason: String,
    },
    /// The file is of a later portolan.
    #[error(
        "{}: has format version {found} and this portolan knows version {VERSION} only; the file is left as it is: use the portolan that wrote it, or move it away to have addresses and node ports chosen anew",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The version it says.
        found: u64,
    },
    /// A directory opened with [`LockMode::ReadOnly`] was to be written.
    #[error("the state directory {} was opened for reading only", path.display())]
    ReadOnly {
        /// The state directory.
        path: PathBuf,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(
        || "another process".to_owned(),
        |pid| format!("another portolan (pid {pid})"),
    )
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

/// Takes the lock and leaves this process's number in it, for others to name.
///
/// The lock file is never removed: a process that waits on a removed one would hold a lock that
/// nobody else sees.
fn take_lock(dir: &Path, patience: Duration) -> Result<File, StateError> {
    let path = dir.join(LOCK);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(failed("open the lock", &path))?;
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
            Err(TryLockError::WouldBlock) if started.elapsed() >= patience => {
                return Err(StateError::Held {
                    path: dir.to_owned(),
                    pid: pid_in(&mut file),
                    waited: patience,
                });
            }
            Err(TryLockError::WouldBlock) => thread::sleep(POLL),
        }
    }
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(failed("write to the lock", &path))?;
    Ok(file)
}

/// The number a lock's holder left in it, if it has got that far.
fn pid_in(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io {
        action,
        path,
        source,
    }
}

fn corrupt(path: &Path) -> impl FnOnce(serde_json::Error) -> StateError {
    let path = path.to_owned();
    move |error| {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let place = format!(" at line {line} column {column}");
        StateError::Corrupt {
            path,
            line,
            column,
            reason: text.strip_suffix(&place).unwrap_or(&text).to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::NamespacedName;
    use crate::model::allocate::ServiceAllocation;

    fn allocations(last: u8) -> Allocations {
        let record = ServiceAllocation {
            cluster_ips: vec![[10, 233, 10, last].into()],
            ..ServiceAllocation::default()
        };
        [(NamespacedName::new("default", "web"), record)]
            .into_iter()
            .collect()
    }

    fn open(path: &Path) -> StateDir {
        StateDir::open_within(path.to_owned(), LockMode::Exclusive, Duration::ZERO).unwrap()
    }

    /// A state directory whose file has this content, and why it cannot be read.
    fn refusal(content: &[u8]) -> (String, StateError) {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join(FILE);
        fs::write(&file, content).unwrap();
        let dir = open(home.path());
        let error = dir.read().unwrap_err();
        assert!(dir.write(&allocations(1)).is_err());
        assert_eq!(fs::read(&file).unwrap(), content, "never overwritten");
        let text = error.to_string();
        (text.replace(&file.display().to_string(), "FILE"), error)
    }

    #[test]
    fn what_was_written_is_read_again() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a/b");
        open(&path).write(&allocations(1)).unwrap();
        open(&path).write(&allocations(2)).unwrap();
        let reader = StateDir::open(&path, LockMode::ReadOnly).unwrap();
        assert_eq!(reader.read().unwrap(), allocations(2));
    }

    #[test]
    fn the_file_is_readable_by_people_and_by_everybody() {
        let home = tempfile::tempdir().unwrap();
        open(home.path()).write(&allocations(1)).unwrap();
        let file = home.path().join(FILE);
        let text = fs::read_to_string(&file).unwrap();
        let expected = r#"{
  "version": 1,
  "services": [
    {
      "namespace": "default",
      "name": "web",
      "clusterIPs": [
        "10.233.10.1"
      ]
    }
  ]
}
"#;
        assert_eq!(text, expected);
        let mode = fs::metadata(file).unwrap().permissions().mode();
        assert_eq!(mode & 0o444, 0o444);
    }

    #[test]
    fn a_missing_directory_or_file_is_empty_and_reading_creates_nothing() {
        let home = tempfile::tempdir().unwrap();
        for path in [home.path().to_owned(), home.path().join("missing")] {
            let dir = StateDir::open(path, LockMode::ReadOnly).unwrap();
            assert!(dir.read().unwrap().is_empty());
            let error = dir.write(&allocations(1)).unwrap_err();
            assert!(matches!(error, StateError::ReadOnly { .. }));
        }
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_same_again_is_not_written() {
        let home = tempfile::tempdir().unwrap();
        let dir = open(home.path());
        dir.write(&allocations(1)).unwrap();
        let modified = || {
            fs::metadata(home.path().join(FILE))
                .unwrap()
                .modified()
                .unwrap()
        };
        let before = modified();
        dir.write(&allocations(1)).unwrap();
        assert_eq!(modified(), before);
    }

    #[test]
    fn a_second_process_is_told_who_has_the_lock() {
        let home = tempfile::tempdir().unwrap();
        let first = open(home.path());
        let again = StateDir::open_within(
            home.path().to_owned(),
            LockMode::Exclusive,
            Duration::from_millis(30),
        );
        let text = again.unwrap_err().to_string();
        let holder = format!("another portolan (pid {})", std::process::id());
        assert!(text.starts_with(&holder), "{text}");
        assert!(
            StateDir::open(home.path(), LockMode::ReadOnly)
                .unwrap()
                .read()
                .is_ok()
        );
        drop(first);
        open(home.path());
    }

    #[test]
    fn the_lock_is_waited_for() {
        let home = tempfile::tempdir().unwrap();
        let first = open(home.path());
        let path = home.path().to_owned();
        let second = thread::spawn(|| StateDir::open(path, LockMode::Exclusive).map(drop));
        thread::sleep(Duration::from_millis(100));
        drop(first);
        second.join().unwrap().unwrap();
    }

    #[test]
    fn a_corrupt_file_is_named_with_the_place_and_kept() {
        let advice = "; the file is left as it is: restore it from a copy, or move it away to have addresses and node ports chosen anew";
        let table: [(&[u8], &str); 6] = [
            (b"", "FILE: line 1 column 0: EOF while parsing a value"),
            (b"\xff\x00junk", "FILE: line 1 column 1: expected value"),
            (b"{\"version\": 1", "FILE: line 1 column 13: EOF while parsing an object"),
            (b"{}", "FILE: line 1 column 2: missing field `version`"),
            (
                b"{\"version\": 1,\n \"services\": [{\"namespace\": \"d\", \"name\": \"a\", \"clusterIPs\": [\"10.0.0\"]}]}",
                "FILE: line 2 column 69: invalid IP address syntax",
            ),
            (
                b"{\"version\": 1, \"services\": [], \"more\": 1}",
                "FILE: line 1 column 37: unknown field `more`, expected `version` or `services`",
            ),
        ];
        for (content, reason) in table {
            assert_eq!(refusal(content).0, format!("{reason}{advice}"));
        }
    }

    #[test]
    fn a_file_of_a_later_version_is_kept() {
        let (text, error) = refusal(b"{\"version\": 2, \"other\": true}");
        assert!(matches!(error, StateError::Version { found: 2, .. }));
        assert!(
            text.starts_with("FILE: has format version 2 and this portolan knows version 1 only")
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_is_an_error() {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join(FILE)).unwrap();
        let error = open(home.path()).read().unwrap_err();
        assert!(error.to_string().starts_with("cannot read "), "{error}");
    }

    #[test]
    fn left_overs_of_a_killed_writer_are_removed() {
        let home = tempfile::tempdir().unwrap();
        let left_over = home.path().join(".allocations.x1y2.tmp");
        fs::write(&left_over, b"{\"vers").unwrap();
        open(home.path());
        assert!(!left_over.exists());
    }
}

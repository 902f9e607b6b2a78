//! What changed since `allocations.json` was written: one line a Service, so that keeping a change
//! does not cost a hundred thousand Services that did not change.
//!
//! The first line names the file it follows by a hash of its bytes: one that follows another file
//! is a left-over of a crash between two steps, and says nothing. A last line that is cut short was
//! never acknowledged.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

use super::{StateError, VERSION, corrupt, failed};
use crate::model::allocate::{AllocationChanges, NamedRecord};

/// The journal's name in the state directory.
pub(super) const FILE: &str = "allocations.journal";

/// Journals up to this size are never worth rewriting the file for.
const SMALL: u64 = 64 << 10;

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    version: u64,
    /// Hash of the file that the changes follow.
    follows: String,
}

/// What a journal says.
#[derive(Debug)]
pub(super) struct Changes {
    follows: String,
    pub(super) changes: AllocationChanges,
}

impl Changes {
    /// It follows a file of these bytes.
    pub(super) fn follows(&self, file: &[u8]) -> bool {
        self.follows == hash(file)
    }
}

/// The journal of a state directory; `None` if there is none that ever kept something.
pub(super) fn read(dir: &Path) -> Result<Option<Changes>, StateError> {
    let path = dir.join(FILE);
    let text = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(failed("read", &path))?,
    };
    let mut lines = text.split_inclusive(|&byte| byte == b'\n');
    let whole = |line: &&[u8]| line.ends_with(b"\n");
    let Some(first) = lines.next().filter(whole) else {
        return Ok(None);
    };
    let header: Header = serde_json::from_slice(first).map_err(corrupt_line(&path, 1))?;
    if header.version != VERSION {
        return Err(StateError::Version {
            path,
            found: header.version,
        });
    }
    let mut changes = AllocationChanges::new();
    for (line, number) in lines.filter(whole).zip(2..) {
        let record: NamedRecord =
            serde_json::from_slice(line).map_err(corrupt_line(&path, number))?;
        let (service, record) = record.into_change();
        changes.insert(service, record);
    }
    Ok(Some(Changes {
        follows: header.follows,
        changes,
    }))
}

fn corrupt_line(path: &Path, number: usize) -> impl FnOnce(serde_json::Error) -> StateError {
    let in_line = corrupt(path);
    move |error| match in_line(error) {
        StateError::Corrupt {
            path,
            column,
            reason,
            ..
        } => StateError::Corrupt {
            path,
            line: number,
            column,
            reason,
        },
        other => other,
    }
}

fn hash(bytes: &[u8]) -> String {
    format!("{:032x}", XxHash3_128::oneshot(bytes))
}

fn write_line(text: &mut Vec<u8>, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *text, value)?;
    text.push(b'\n');
    Ok(())
}

/// A journal that is being written.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    follows: String,
    /// Bytes of the file that it follows.
    file_bytes: u64,
    /// Created with the first change.
    file: Option<File>,
    bytes: u64,
    /// A write failed, and what is on disk is not known.
    broken: bool,
}

impl Journal {
    /// A journal that follows a file of these bytes.
    pub(super) fn after(dir: &Path, file: &[u8]) -> Self {
        Self {
            path: dir.join(FILE),
            follows: hash(file),
            file_bytes: file.len() as u64,
            file: None,
            bytes: 0,
            broken: false,
        }
    }

    /// Writing the file anew is cheaper from here on, or necessary.
    pub(super) fn is_full(&self) -> bool {
        self.broken || self.bytes > SMALL.max(self.file_bytes / 2)
    }

    /// Writes changes down; they are on disk when this returns.
    pub(super) fn append(&mut self, changes: AllocationChanges) -> Result<(), StateError> {
        self.broken = true;
        let mut text = Vec::new();
        if self.file.is_none() {
            let header = Header {
                version: VERSION,
                follows: self.follows.clone(),
            };
            write_line(&mut text, &header).map_err(failed("write", &self.path))?;
        }
        for (service, record) in changes {
            let record = NamedRecord::new(&service, record);
            write_line(&mut text, &record).map_err(failed("write", &self.path))?;
        }
        self.write(&text).map_err(failed("write", &self.path))?;
        self.broken = false;
        Ok(())
    }

    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            file.write_all(text)?;
            file.sync_data()?;
        } else {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .open(&self.path)?;
            file.write_all(text)?;
            file.sync_all()?;
            if let Some(directory) = self.path.parent() {
                File::open(directory)?.sync_all()?;
            }
            self.file = Some(file);
        }
        self.bytes += text.len() as u64;
        Ok(())
    }
}

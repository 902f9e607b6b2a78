//! Why the state directory cannot be used, in words for the one who has to mend it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::VERSION;

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

pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io {
        action,
        path,
        source,
    }
}

pub(super) fn corrupt(path: &Path) -> impl FnOnce(serde_json::Error) -> StateError {
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

//! Having HAProxy take up its file.
//!
//! The master process (`haproxy -W`, as packages start it) is sent SIGUSR2: it starts a new worker,
//! hands it the listening sockets and has the old one finish what it has. No connection is lost.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a new worker may take to come.
const PATIENCE: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(20);

/// Why the configuration, which is in place, is not in force.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// No running HAProxy is known.
    #[error("cannot read {}: is haproxy running as a master (-W) with this pidfile?", path.display())]
    PidFile {
        /// The pidfile.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What it says is no process number.
    #[error("{}: \"{text}\" is not the number of a process", path.display())]
    NoPid {
        /// The pidfile.
        path: PathBuf,
        /// What it says.
        text: String,
    },
    /// That process is gone, or somebody else's.
    #[error("cannot signal process {pid} of {}", path.display())]
    Signal {
        /// The pidfile.
        path: PathBuf,
        /// The process.
        pid: i32,
        /// Why.
        #[source]
        source: Errno,
    },
    /// It is some other program, or no master.
    #[error("process {pid} of {} is no haproxy master: {what}", path.display())]
    NoMaster {
        /// The pidfile.
        path: PathBuf,
        /// The process.
        pid: i32,
        /// What it is.
        what: String,
    },
    /// No new worker came.
    #[error("haproxy (process {pid}) started no new worker; its log says why")]
    NoWorker {
        /// The master.
        pid: i32,
    },
}

/// Has the master of a pidfile take up its configuration, and waits until a new worker runs.
///
/// # Errors
/// See [`ReloadError`].
pub fn reload(pid_file: &Path) -> Result<(), ReloadError> {
    let path = || pid_file.to_owned();
    let text = fs::read_to_string(pid_file).map_err(|source| ReloadError::PidFile {
        path: path(),
        source,
    })?;
    let text = text.lines().next().unwrap_or_default().trim();
    let Some(pid) = text.parse::<i32>().ok().filter(|pid| *pid > 0) else {
        let text = text.to_owned();
        return Err(ReloadError::NoPid { path: path(), text });
    };
    let before = workers(pid);
    let signal = |signal| {
        kill(Pid::from_raw(pid), signal).map_err(|source| ReloadError::Signal {
            path: path(),
            pid,
            source,
        })
    };
    signal(None)?;
    // SIGUSR2 ends what does not know it, a worker among them.
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let name = name.trim();
    if !name.starts_with("haproxy") || before.is_empty() {
        let what = if before.is_empty() {
            format!("{name} without workers")
        } else {
            name.to_owned()
        };
        return Err(ReloadError::NoMaster {
            path: path(),
            pid,
            what,
        });
    }
    signal(Some(Signal::SIGUSR2))?;
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        // A worker that ends at once was none.
        if workers(pid).difference(&before).any(|new| is_settled(*new)) {
            return Ok(());
        }
        thread::sleep(PAUSE);
    }
    Err(ReloadError::NoWorker { pid })
}

/// The children of a master.
fn workers(pid: i32) -> BTreeSet<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let children = children.split_whitespace();
    children.filter_map(|child| child.parse().ok()).collect()
}

/// It runs still after a moment.
fn is_settled(pid: i32) -> bool {
    thread::sleep(2 * PAUSE);
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = status
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    state.is_some_and(|state| state != 'Z' && state != 'X')
}

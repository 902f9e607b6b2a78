//! Network namespaces: naming one, and running code in one.
//!
//! `setns(2)` acts on one thread, so the work runs on a thread that lives only for it; the caller's
//! threads never change namespace. A socket opened there belongs to the namespace from then on and
//! may be used anywhere.

use std::convert::Infallible;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};

use super::Socket;

/// Where `ip netns add` keeps its namespaces.
pub(super) const NAMED: &str = "/run/netns";

/// Which network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum NetnsRef {
    /// The caller's own.
    #[default]
    Current,
    /// One that `ip netns` knows.
    Named(String),
    /// A file that holds one: `/proc/PID/ns/net` or a bind mount.
    Path(PathBuf),
}

impl NetnsRef {
    /// The file of the namespace; `None` for the current one.
    #[must_use]
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            Self::Current => None,
            Self::Named(name) => Some(Path::new(NAMED).join(name)),
            Self::Path(path) => Some(path.clone()),
        }
    }
}

/// Reads what `--netns` takes: `NAME`, `PATH` (anything with a `/`), or `pid:N` for the namespace
/// of a process. Always succeeds; whether the namespace exists shows when it is entered.
impl FromStr for NetnsRef {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let pid = text
            .strip_prefix("pid:")
            .filter(|pid| !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit()));
        Ok(match pid {
            Some(pid) => Self::Path(PathBuf::from(format!("/proc/{pid}/ns/net"))),
            None if text.is_empty() => Self::Current,
            None if text.contains('/') => Self::Path(PathBuf::from(text)),
            None => Self::Named(text.to_owned()),
        })
    }
}

impl fmt::Display for NetnsRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Current => f.write_str("the current network namespace"),
            Self::Named(name) => write!(f, "network namespace {name}"),
            Self::Path(path) => write!(f, "network namespace {}", path.display()),
        }
    }
}

/// A network namespace could not be entered.
#[derive(Debug, thiserror::Error)]
pub enum NetnsError {
    /// There is no such namespace.
    #[error("{namespace} does not exist")]
    Missing {
        /// Which.
        namespace: NetnsRef,
    },
    /// Its file cannot be opened.
    #[error("cannot open {namespace}")]
    Open {
        /// Which.
        namespace: NetnsRef,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel does not let the thread in: it needs `CAP_SYS_ADMIN`, or the file is no network
    /// namespace.
    #[error("cannot enter {namespace} (root is needed)")]
    Enter {
        /// Which.
        namespace: NetnsRef,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is something else than a network namespace.
    #[error("{namespace} is not a network namespace")]
    NotANamespace {
        /// Which.
        namespace: NetnsRef,
    },
    /// No netfilter socket could be opened in it.
    #[error("cannot open a netfilter netlink socket in {namespace}")]
    Socket {
        /// Which.
        namespace: NetnsRef,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No thread could be started.
    #[error("cannot run a thread for {namespace}")]
    Thread {
        /// Which.
        namespace: NetnsRef,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Runs `work` on a thread of its own that has entered the namespace.
///
/// # Errors
/// The namespace cannot be entered; `work` was not run then.
pub fn run_in<T: Send>(
    namespace: &NetnsRef,
    work: impl FnOnce() -> T + Send,
) -> Result<T, NetnsError> {
    let thread_error = |source| NetnsError::Thread {
        namespace: namespace.clone(),
        source,
    };
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("netns".to_owned())
            .spawn_scoped(scope, || enter(namespace).map(|()| work()))
            .map_err(thread_error)?;
        thread.join().unwrap_or_else(|panic| {
            // A panic of `work` is the caller's own; it goes on where it would have gone.
            std::panic::resume_unwind(panic)
        })
    })
}

/// Opens a netfilter socket of the namespace. It can be used from any thread.
///
/// # Errors
/// The namespace cannot be entered, or the socket cannot be opened.
pub fn open_socket(namespace: &NetnsRef) -> Result<Socket, NetnsError> {
    run_in(namespace, Socket::open)?.map_err(|source| NetnsError::Socket {
        namespace: namespace.clone(),
        source,
    })
}

/// Moves the calling thread into the namespace, for good.
pub(super) fn enter(namespace: &NetnsRef) -> Result<(), NetnsError> {
    let Some(path) = namespace.path() else {
        return Ok(());
    };
    let file = File::open(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => NetnsError::Missing {
            namespace: namespace.clone(),
        },
        _ => NetnsError::Open {
            namespace: namespace.clone(),
            source,
        },
    })?;
    setns(file, CloneFlags::CLONE_NEWNET).map_err(|errno| match errno {
        Errno::EINVAL => NetnsError::NotANamespace {
            namespace: namespace.clone(),
        },
        errno => NetnsError::Enter {
            namespace: namespace.clone(),
            source: errno.into(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> NetnsRef {
        text.parse().unwrap()
    }

    #[test]
    fn names_paths_and_processes_are_told_apart() {
        assert_eq!(parse("blue"), NetnsRef::Named("blue".to_owned()));
        assert_eq!(parse("./blue"), NetnsRef::Path("./blue".into()));
        assert_eq!(parse("pid:17"), NetnsRef::Path("/proc/17/ns/net".into()));
        assert_eq!(parse("pid:x"), NetnsRef::Named("pid:x".to_owned()));
        assert_eq!(parse(""), NetnsRef::Current);
    }

    #[test]
    fn the_current_namespace_needs_no_privilege() {
        assert_eq!(run_in(&NetnsRef::Current, || 7).unwrap(), 7);
    }

    #[test]
    fn a_missing_namespace_is_named() {
        let error = run_in(&parse("no-such-namespace"), || ()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "network namespace no-such-namespace does not exist"
        );
    }

    #[test]
    fn a_file_that_is_no_namespace_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let namespace = NetnsRef::Path(file.path().to_owned());
        let error = run_in(&namespace, || ()).unwrap_err();
        assert!(error.to_string().contains("is not a network namespace"));
    }
}

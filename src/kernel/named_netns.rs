//! Network namespaces with a name, as `ip netns` makes them: a file under `/run/netns` that holds
//! the namespace open whether or not a process is in it.
//!
//! Owns making, listing and removing them, by the same rules as iproute2, so that `ip netns` and
//! this program see and may remove each other's. Must not know what they are for.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

use super::netns::NAMED;

/// A named namespace could not be made, listed or removed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} network namespace {name}")]
pub struct NamedError {
    action: &'static str,
    name: String,
    #[source]
    source: io::Error,
}

/// What tells one namespace from every other while either lives: device and inode of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NetnsId(u64, u64);

impl NetnsId {
    /// The namespace behind a file, such as `/proc/PID/ns/net`.
    ///
    /// # Errors
    /// There is no such file.
    pub fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self(metadata.dev(), metadata.ino()))
    }

    /// The namespace of a name.
    ///
    /// # Errors
    /// There is none.
    pub fn named(name: &str) -> io::Result<Self> {
        Self::of(&path(name))
    }
}

/// The file of a name.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    Path::new(NAMED).join(name)
}

/// Makes a namespace and names it. The calling thread stays where it is.
///
/// # Errors
/// The name is taken, or the kernel refuses (root is needed).
pub fn create(name: &str) -> Result<(), NamedError> {
    let error = |source| NamedError {
        action: "make",
        name: name.to_owned(),
        source,
    };
    prepare_directory().map_err(error)?;
    let path = path(name);
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o000)
        .open(&path)
        .map_err(error)?;
    let made = thread::scope(|scope| {
        let make = || -> io::Result<()> {
            unshare(CloneFlags::CLONE_NEWNET)?;
            let own = File::open("/proc/thread-self/ns/net")?;
            let own = format!("/proc/self/fd/{}", own.as_raw_fd());
            Ok(bind(Path::new(&own), &path)?)
        };
        let thread = thread::Builder::new().spawn_scoped(scope, make)?;
        thread.join().unwrap_or_else(|_| Err(Errno::EIO.into()))
    });
    made.inspect_err(|_| {
        // Nothing is mounted on it.
        let _ = fs::remove_file(&path);
    })
    .map_err(error)
}

/// Removes a name; the kernel frees the namespace when nothing uses it any more. A name that does
/// not exist is fine.
///
/// # Errors
/// The kernel refuses.
pub fn delete(name: &str) -> Result<(), NamedError> {
    let path = path(name);
    let error = |source| NamedError {
        action: "remove",
        name: name.to_owned(),
        source,
    };
    match umount2(&path, MntFlags::MNT_DETACH) {
        // Not mounted: the name of a namespace that was never finished.
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
        Err(errno) => return Err(error(errno.into())),
    }
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(error(source)),
        _ => Ok(()),
    }
}

/// All names that begin so, sorted.
///
/// # Errors
/// The directory cannot be read.
pub fn list(prefix: &str) -> Result<Vec<String>, NamedError> {
    let entries = match fs::read_dir(NAMED) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.and_then(Iterator::collect::<io::Result<Vec<_>>>),
    };
    let entries = entries.map_err(|source| NamedError {
        action: "list",
        name: format!("{prefix}*"),
        source,
    })?;
    let names = entries
        .iter()
        .filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(prefix)).collect();
    names.sort();
    Ok(names)
}

/// The directory of the names, a mount of its own that other mount namespaces follow: a name that
/// is removed here must not hold its namespace open there. iproute2 does the same under the same
/// lock.
fn prepare_directory() -> io::Result<()> {
    let directory = Path::new(NAMED);
    let mut builder = fs::DirBuilder::new();
    builder.mode(0o755).recursive(true).create(directory)?;
    let _lock = Flock::lock(File::open(directory)?, FlockArg::LockExclusive)
        .map_err(|(_, errno)| io::Error::from(errno))?;
    let share = || {
        let flags = MsFlags::MS_SHARED | MsFlags::MS_REC;
        mount(None::<&str>, directory, None::<&str>, flags, None::<&str>)
    };
    match share() {
        Err(Errno::EINVAL) => {
            let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
            mount(
                Some(directory),
                directory,
                None::<&str>,
                flags,
                None::<&str>,
            )?;
            Ok(share()?)
        }
        shared => Ok(shared?),
    }
}

fn bind(from: &Path, to: &Path) -> nix::Result<()> {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_does_not_exist_is_removed_without_complaint() {
        delete("portolan-no-such-namespace").unwrap();
        assert!(list("portolan-no-such-").unwrap().is_empty());
    }

    #[test]
    fn every_process_of_a_namespace_has_its_number() {
        let own = NetnsId::of(Path::new("/proc/self/ns/net")).unwrap();
        assert_eq!(
            own,
            NetnsId::of(Path::new("/proc/thread-self/ns/net")).unwrap()
        );
    }
}

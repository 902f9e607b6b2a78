//! What belongs to a lab, told by its name alone: a directory, and names of network namespaces.
//!
//! So a lab can be removed whatever became of the program that made it, and nothing else is. Owns
//! the lock that lets one verb at a time change a lab.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::LabError;
use crate::kernel::netns::NetnsRef;

/// Where labs keep what they have on disk.
const ROOT: &str = "/run/portolan/lab";
/// How every network namespace of every lab begins.
const PREFIX: &str = "portolan.";
/// The longest name of a lab.
const MAX_NAME: usize = 32;

/// A lab's name, and all that follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    name: String,
}

impl Place {
    /// The place of a lab of this name.
    ///
    /// # Errors
    /// It is no name: letters, digits and dashes, as in DNS, and not too many.
    pub fn new(name: &str) -> Result<Self, LabError> {
        let bytes = name.as_bytes();
        let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
        let is_name = edge(bytes.first())
            && edge(bytes.last())
            && bytes.iter().all(inner)
            && bytes.len() <= MAX_NAME;
        if !is_name {
            return Err(LabError::Asked(format!(
                "--name: \"{name}\" is no name for a lab: use at most {MAX_NAME} of a-z, 0-9 and -"
            )));
        }
        Ok(Self {
            name: name.to_owned(),
        })
    }

    /// The lab's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        Path::new(ROOT).join(&self.name)
    }

    /// A file of it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    /// How its network namespaces are named: no name of a lab holds a dot.
    #[must_use]
    pub fn prefix(&self) -> String {
        format!("{PREFIX}{}.", self.name)
    }

    /// The network namespace of a machine: node, client, balancer, switch, router.
    #[must_use]
    pub fn machine(&self, name: &str) -> String {
        format!("{}{name}", self.prefix())
    }

    /// The network namespace of a pod.
    #[must_use]
    pub fn pod(&self, namespace: &str, name: &str) -> String {
        format!("{}pod.{namespace}.{name}", self.prefix())
    }

    /// Keeps everyone else from changing the lab while the lock lives.
    ///
    /// # Errors
    /// The lock file cannot be made.
    pub fn lock(&self) -> io::Result<Lock> {
        let path = Path::new(ROOT).join(format!(".{}.lock", self.name));
        loop {
            // Only root may look: manifests may hold what others should not see.
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(0o700).create(ROOT)?;
            let mut options = OpenOptions::new();
            let file = match options.create(true).write(true).truncate(false).open(&path) {
                // Somebody is removing the last lab.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                file => file?,
            };
            let lock = Flock::lock(file, FlockArg::LockExclusive)
                .map_err(|(_, errno)| io::Error::from(errno))?;
            // The file may have gone while it was waited for, with the lab.
            let same = fs::metadata(&path).is_ok_and(|now| {
                let held = lock.metadata();
                held.is_ok_and(|held| (held.dev(), held.ino()) == (now.dev(), now.ino()))
            });
            if same {
                return Ok(Lock { _file: lock, path });
            }
        }
    }

    /// Removes the directory and all in it.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(self.directory()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// The names of all labs that have left anything, sorted.
#[must_use]
pub fn all() -> Vec<String> {
    let spaces = crate::kernel::named_netns::list(PREFIX).unwrap_or_default();
    let of_space = |space: &String| Some(space.strip_prefix(PREFIX)?.split_once('.')?.0.to_owned());
    let directories = fs::read_dir(ROOT).into_iter().flatten().flatten();
    let of_directory = |entry: fs::DirEntry| {
        let is_lab = entry.file_type().is_ok_and(|kind| kind.is_dir());
        entry.file_name().into_string().ok().filter(|_| is_lab)
    };
    let mut names: Vec<String> = spaces
        .iter()
        .filter_map(of_space)
        .chain(directories.filter_map(of_directory))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// The right to change a lab.
#[derive(Debug)]
pub struct Lock {
    _file: Flock<File>,
    path: PathBuf,
}

impl Lock {
    /// Removes the file of the lock and the directories of all labs, as far as they are empty: the
    /// lab is no more. Who waits for the lock notices, and makes another file.
    pub fn remove(&self) {
        let _ = fs::remove_file(&self.path);
        for directory in Path::new(ROOT).ancestors().take(2) {
            if fs::remove_dir(directory).is_err() {
                break;
            }
        }
    }
}

/// A network namespace by its name.
#[must_use]
pub fn netns(name: &str) -> NetnsRef {
    NetnsRef::Named(name.to_owned())
}

/// Root is needed for all of it.
///
/// # Errors
/// The user is not root.
pub fn check_root() -> Result<(), LabError> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let reason = Errno::EPERM.desc();
    Err(LabError::Failed(anyhow::anyhow!(
        "a lab is made of network namespaces, and only root can make or enter those: {reason} (try \
         sudo)"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_reach_into_another_lab_or_out_of_the_directory_are_refused() {
        for wrong in [
            "",
            ".",
            "..",
            "a.b",
            "a/b",
            "-a",
            "a-",
            "Lab",
            &"x".repeat(33),
        ] {
            assert!(Place::new(wrong).is_err(), "{wrong}");
        }
        let place = Place::new("lab-2").unwrap();
        assert_eq!(place.machine("n1"), "portolan.lab-2.n1");
        assert_eq!(place.pod("default", "p"), "portolan.lab-2.pod.default.p");
        assert_eq!(place.file("x"), Path::new("/run/portolan/lab/lab-2/x"));
        let other = Place::new("lab").unwrap();
        assert!(!place.prefix().starts_with(&other.prefix()));
    }
}

//! inotify(7): watches on directories, and their events as paths.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags as Mask, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use nix::sys::statfs::{FUSE_SUPER_MAGIC, FsType, NFS_SUPER_MAGIC, SMB_SUPER_MAGIC, statfs};
use tokio::io::unix::AsyncFd;

use super::WatchList;

/// Names that come, go or are replaced.
const NAMES: Mask = Mask::IN_CREATE
    .union(Mask::IN_DELETE)
    .union(Mask::IN_MOVED_FROM)
    .union(Mask::IN_MOVED_TO)
    .union(Mask::IN_DELETE_SELF)
    .union(Mask::IN_MOVE_SELF);
/// And what is in files.
const CONTENTS: Mask = NAMES
    .union(Mask::IN_MODIFY)
    .union(Mask::IN_CLOSE_WRITE)
    .union(Mask::IN_ATTRIB);

/// File systems where changes made by other machines give no events. Numbers from the kernel's
/// `magic.h`, and of its 9p and SMB clients.
const REMOTE: [FsType; 5] = [
    NFS_SUPER_MAGIC,
    SMB_SUPER_MAGIC,
    FUSE_SUPER_MAGIC,
    FsType(0xff53_4d42),
    FsType(0x0102_1997),
];

/// Whether somebody is in the middle of writing a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteState {
    Begun,
    Over,
}

/// An event.
pub(super) enum Seen<'a> {
    /// The kernel's queue was full: anything may have happened.
    Lost,
    Path {
        /// The watched directory, in the list's spelling.
        directory: &'a Path,
        path: PathBuf,
        state: WriteState,
    },
}

/// What came of watching a list.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Directories that were not watched before.
    pub(super) new: Vec<PathBuf>,
    /// Directories that have to be polled, and why.
    pub(super) refused: Vec<(PathBuf, String)>,
}

/// Makes [`Inotify`] known to the event loop.
#[derive(Debug)]
struct Fd(Inotify);

impl AsFd for Fd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Fd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// An inotify instance.
#[derive(Debug)]
pub(super) struct Events {
    inotify: AsyncFd<Fd>,
    /// The spellings of each watched directory.
    watched: HashMap<WatchDescriptor, BTreeSet<PathBuf>>,
}

impl Events {
    #[expect(
        deprecated,
        reason = "the unsafe way asks that the descriptor stays the same and open: Fd owns it"
    )]
    pub(super) fn new() -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        Ok(Self {
            inotify: AsyncFd::new(Fd(inotify))?,
            watched: HashMap::new(),
        })
    }

    /// Watches the directories of a list and no others. Directories that are watched already stay
    /// so without a gap.
    pub(super) fn watch(&mut self, list: &WatchList) -> Outcome {
        let mut outcome = Outcome::default();
        let mut watched: HashMap<WatchDescriptor, BTreeSet<PathBuf>> = HashMap::new();
        for (directory, mask) in masks(list) {
            match self.add(&directory, mask) {
                Ok(descriptor) => {
                    if let Some(why) = remote(&directory) {
                        outcome.refused.push((directory.clone(), why));
                    }
                    let before = self.watched.get(&descriptor);
                    if before.is_none_or(|spellings| !spellings.contains(&directory)) {
                        outcome.new.push(directory.clone());
                    }
                    watched.entry(descriptor).or_default().insert(directory);
                }
                // What does not exist shows in the directory above it.
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => {}
                Err(error) => {
                    let why = match error {
                        Errno::ENOSPC => "limit reached: fs.inotify.max_user_watches".to_owned(),
                        error => error.desc().to_lowercase(),
                    };
                    outcome.refused.push((directory, why));
                }
            }
        }
        for descriptor in self.watched.keys() {
            if !watched.contains_key(descriptor) {
                // It fails where the directory is gone, and the watch with it.
                let _ = self.inotify.get_ref().0.rm_watch(*descriptor);
            }
        }
        self.watched = watched;
        outcome
    }

    fn add(&self, directory: &Path, mask: Mask) -> Result<WatchDescriptor, Errno> {
        let shown = if directory.as_os_str().is_empty() {
            Path::new(".")
        } else {
            directory
        };
        // Another spelling of the same directory may want more than this one.
        let mask = mask | Mask::IN_ONLYDIR | Mask::from_bits_retain(libc::IN_MASK_ADD);
        self.inotify.get_ref().0.add_watch(shown, mask)
    }

    /// Returns when there may be events.
    pub(super) async fn readable(&self) {
        if let Ok(mut guard) = self.inotify.readable().await {
            // Reading until there is nothing more is what the next call begins with.
            guard.clear_ready();
        }
    }

    /// Hands out all events there are.
    pub(super) fn take_in(&mut self, mut sink: impl FnMut(Seen<'_>)) -> io::Result<()> {
        loop {
            match self.inotify.get_ref().0.read_events() {
                Ok(events) => events
                    .into_iter()
                    .for_each(|event| self.event(&event, &mut sink)),
                Err(Errno::EAGAIN) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn event(&mut self, event: &InotifyEvent, sink: &mut impl FnMut(Seen<'_>)) {
        if event.mask.contains(Mask::IN_Q_OVERFLOW) {
            sink(Seen::Lost);
            return;
        }
        let Some(spellings) = self.watched.get(&event.wd) else {
            return;
        };
        let state = if event.mask.contains(Mask::IN_MODIFY) {
            WriteState::Begun
        } else {
            WriteState::Over
        };
        for directory in spellings {
            let path = match &event.name {
                Some(name) => directory.join(name),
                None => directory.clone(),
            };
            sink(Seen::Path {
                directory,
                path,
                state,
            });
        }
        if event.mask.contains(Mask::IN_IGNORED) {
            self.watched.remove(&event.wd);
        }
    }
}

/// All directories to watch, and for what.
fn masks(list: &WatchList) -> BTreeMap<PathBuf, Mask> {
    let mut masks = BTreeMap::new();
    for way in list.ways() {
        let Some(directory) = way.parent() else {
            continue;
        };
        // Directories on the way only matter when they are replaced; `/tmp` is busy otherwise.
        let mask = if way.is_dir() { NAMES } else { CONTENTS };
        *masks.entry(directory.to_owned()).or_insert(mask) |= mask;
    }
    let directories = list.directories().iter().cloned();
    masks.extend(directories.map(|directory| (directory, CONTENTS)));
    masks
}

/// Why events of a directory do not tell everything.
fn remote(directory: &Path) -> Option<String> {
    let kind = statfs(directory).ok()?.filesystem_type();
    let is_remote = REMOTE.contains(&kind);
    is_remote.then(|| "changes made elsewhere on this file system are not announced".to_owned())
}

//! Another view of the machine for one thread and what it starts: a network namespace, the settings
//! and links of that namespace under `/sys`, a host name, and some files under `/etc` of its own.
//!
//! What `ip netns exec` does with `/etc/netns/NAME`, without leaving files there. Must not know what
//! is started.

use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::sethostname;

use super::netns::{NetnsError, NetnsRef, enter as enter_netns};

/// The view cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The network namespace.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// Something else of it.
    #[error("cannot {action}")]
    Set {
        /// What was tried.
        action: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What is to be seen.
#[derive(Clone, Debug)]
pub struct View {
    /// The network.
    pub netns: NetnsRef,
    /// The host name.
    pub host: String,
    /// A directory whose files are seen in place of those of the same names under `/etc`.
    pub etc: PathBuf,
}

impl View {
    /// Gives the calling thread this view, for good. To be called on a thread that then executes
    /// another program, or that was started for nothing else: processes that it starts inherit the
    /// view.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub fn enter(&self) -> Result<(), ViewError> {
        enter_netns(&self.netns)?;
        set("make a mount and a host-name namespace", || {
            unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS)
        })?;
        // Nothing that is mounted here is seen outside; what is unmounted outside goes here too.
        let flags = MsFlags::MS_SLAVE | MsFlags::MS_REC;
        set("keep mounts to itself", || {
            mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)
        })?;
        set("set the host name", || sethostname(&self.host))?;
        self.mount_sys();
        self.mount_etc()
    }

    /// `/sys/class/net` shows the links of the namespace that it was mounted in. Where that is not
    /// allowed, the host's is seen, which hardly any program minds.
    fn mount_sys(&self) {
        let _ = umount2("/sys", MntFlags::MNT_DETACH);
        let flags = MsFlags::MS_RDONLY;
        let kind = Some("sysfs");
        let mounted = mount(kind, "/sys", kind, flags, None::<&str>);
        if let Err(errno) = mounted {
            tracing::debug!(%errno, "no /sys of its own");
        }
    }

    fn mount_etc(&self) -> Result<(), ViewError> {
        let files = std::fs::read_dir(&self.etc);
        let files = files.and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let files = files.map_err(|source| ViewError::Set {
            action: format!("read {}", self.etc.display()),
            source,
        })?;
        for file in files {
            let target = Path::new("/etc").join(file.file_name());
            let from = file.path();
            let bound = mount(
                Some(&from),
                &target,
                None::<&str>,
                MsFlags::MS_BIND,
                None::<&str>,
            );
            match bound {
                // There is nothing to be replaced, and files are not made on this machine.
                Err(Errno::ENOENT) => {
                    tracing::warn!("{} does not exist, and stays so", target.display());
                }
                bound => set(&format!("show another {}", target.display()), || bound)?,
            }
        }
        Ok(())
    }
}

fn set(action: &str, work: impl FnOnce() -> nix::Result<()>) -> Result<(), ViewError> {
    work().map_err(|errno| ViewError::Set {
        action: action.to_owned(),
        source: errno.into(),
    })
}

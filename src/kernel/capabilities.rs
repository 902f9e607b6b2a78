//! Giving up privileges that are not needed any more.
//!
//! Capabilities belong to threads, and new threads have those of the one that made them: to be
//! called before any other thread is there, or once on each.

use std::io;

use caps::errors::CapsError;
use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::prctl::set_no_new_privs;

/// Privileges could not be given up.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// Capabilities.
    #[error("cannot give up capabilities")]
    Capabilities(#[from] CapsError),
    /// `no_new_privs`.
    #[error("cannot renounce new privileges")]
    NoNewPrivileges(#[source] io::Error),
}

/// What the agent needs for as long as it runs.
const NEEDED: [Capability; 4] = [
    // nf_tables, conntrack, IPVS, addresses, `/proc/sys/net`.
    Capability::CAP_NET_ADMIN,
    // Raw frames that announce addresses.
    Capability::CAP_NET_RAW,
    // DNS, and health-check ports below 1024.
    Capability::CAP_NET_BIND_SERVICE,
    // Manifests and kubeconfigs that belong to other users.
    Capability::CAP_DAC_READ_SEARCH,
];

/// What `setns(2)` asks for, and opening the namespace of a process that has more privileges.
const TO_ENTER: [Capability; 2] = [Capability::CAP_SYS_ADMIN, Capability::CAP_SYS_PTRACE];

/// Whether the thread is going to enter another network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespaces {
    /// Yes: it keeps what that takes.
    Enter,
    /// No, or it has.
    Stay,
}

/// Gives up every capability of the calling thread but those that the agent needs, for good:
/// neither this thread nor a program that it starts can have another again.
///
/// # Errors
/// See [`PrivilegeError`]. Some may be gone.
pub fn keep_needed(namespaces: Namespaces) -> Result<(), PrivilegeError> {
    let permitted = caps::read(None, CapSet::Permitted)?;
    let needed = NEEDED.into_iter();
    let enter = (namespaces == Namespaces::Enter).then_some(TO_ENTER);
    let kept: CapsHashSet = needed
        .chain(enter.into_iter().flatten())
        .filter(|c| permitted.contains(c))
        .collect();
    // Only who may change the bounding set can have more than is in it.
    if permitted.contains(&Capability::CAP_SETPCAP) {
        for capability in caps::all() {
            if !kept.contains(&capability) && caps::has_cap(None, CapSet::Bounding, capability)? {
                caps::drop(None, CapSet::Bounding, capability)?;
            }
        }
    }
    caps::set(None, CapSet::Inheritable, &CapsHashSet::new())?;
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)?;
    set_no_new_privs().map_err(|errno| PrivilegeError::NoNewPrivileges(errno.into()))
}

//! Limits of this process.
//!
//! Must not be called by library functions: it changes the whole process.

use std::fs;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Allows this process as many open files as the system allows any, or as its hard limit where it
/// has no right to raise that. Gives the number.
///
/// # Errors
/// The kernel's, from getrlimit(2) or setrlimit(2).
pub fn raise_open_files() -> Result<u64, Errno> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let system = fs::read_to_string("/proc/sys/fs/nr_open").ok();
    let system = system.and_then(|text| text.trim().parse::<u64>().ok());
    if let Some(system) = system.filter(|system| *system > hard)
        && setrlimit(Resource::RLIMIT_NOFILE, system, system).is_ok()
    {
        return Ok(system);
    }
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

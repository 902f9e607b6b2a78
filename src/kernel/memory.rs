//! How this process uses memory: what an agent that is small most of the time asks of the kernel
//! and of the allocator.
//!
//! Must not be called by library functions: it changes the whole process.

use nix::errno::Errno;
use nix::sys::prctl;

/// Asks the kernel for small pages only. The allocator's huge pages are never wholly used by an
/// agent whose memory comes and goes in small pieces: at 10 000 Services they are a fifth of it.
///
/// # Errors
/// The kernel's, from `prctl(PR_SET_THP_DISABLE)`.
pub fn small_pages() -> Result<(), Errno> {
    prctl::set_thp_disable(true)
}

/// Gives back to the kernel what a load has needed and no longer needs. Takes some milliseconds.
pub fn give_back() {
    // SAFETY: mi_collect takes no pointers and may be called at any time from any thread; where
    // mimalloc is not the allocator of the process, it has nothing to collect.
    unsafe { libmimalloc_sys::mi_collect(true) };
}

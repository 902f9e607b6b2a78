<<<<<<< HEAD
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
=======
//! Memory that was freed and is still ours.

/// Gives freed memory back to the system, as far as the allocator (mimalloc) can: by itself it
/// does so little by little while memory is used, so that a process that falls idle after a large
/// load would stay as large as it was in the middle of it. Takes milliseconds.
///
/// Does nothing in a program with another allocator.
pub fn give_back() {
    // SAFETY: takes no pointers; the allocator's documentation allows it at any time and on any
    // thread.
    unsafe { libmimalloc_sys::mi_collect(true) }
>>>>>>> engine
}

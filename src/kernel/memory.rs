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
}

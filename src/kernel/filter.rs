//! Socket filters: programs of the classic packet filter (`include/uapi/linux/filter.h`).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc;

/// From now on the socket queues what the program keeps; in place of an earlier program.
pub(super) fn attach(socket: BorrowedFd<'_>, program: &mut [libc::sock_filter]) -> io::Result<()> {
    const LEN: usize = size_of::<libc::sock_fprog>();
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).unwrap_or(u16::MAX),
        filter: program.as_mut_ptr(),
    };
    // SAFETY: `filter` is a `struct sock_fprog` that points at `program`; both outlive the call, in
    // which the kernel copies the instructions. The descriptor is open.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            std::ptr::from_ref(&filter).cast(),
            libc::socklen_t::try_from(LEN).unwrap_or_default(),
        )
    };
    Errno::result(result).map(drop).map_err(io::Error::from)
}

//! How this process uses memory: what an agent that is small most of the time asks of the kernel
//! and of the allocator.
//!
//! Must not be called by library functions: it changes the whole process.

use std::fs;
use std::io;
use std::path::Path;

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

/// Lets go of the pages of the program's own code. Half of it is run at the start alone: flags,
/// manifests, the first load. The kernel may then use these pages for something else; what is
/// still needed is mapped again, out of the page cache, when it is run next.
///
/// # Errors
/// The process cannot find out about itself in /proc, or the kernel refuses.
pub fn let_go_of_code() -> io::Result<()> {
    let program = fs::read_link("/proc/self/exe")?;
    for range in code_of(&program, &fs::read_to_string("/proc/self/maps")?) {
        let length = range.end - range.start;
        let start = std::ptr::with_exposed_provenance_mut(range.start);
        // SAFETY: the range is a private mapping of a file that is executable and not writable: it
        // never differed from the file, and it reads from the file again after this.
        Errno::result(unsafe { libc::madvise(start, length, libc::MADV_DONTNEED) })?;
    }
    Ok(())
}

/// Where the code of a program is, by the lines of `/proc/PID/maps` (proc(5)).
fn code_of(program: &Path, maps: &str) -> Vec<std::ops::Range<usize>> {
    let range = |line: &str| {
        let (range, rest) = line.split_once(' ')?;
        // Writable or shared mappings are something else.
        let path = rest.strip_prefix("r-xp ")?.splitn(4, ' ').nth(3)?;
        let (start, end) = range.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        (Path::new(path.trim_start()) == program).then_some(address(start)?..address(end)?)
    };
    maps.lines().filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
55d0c0000000-55d0c0100000 r--p 00000000 fe:00 42                         /usr/bin/portolan
55d0c0100000-55d0c0200000 r-xp 00100000 fe:00 42                         /usr/bin/portolan
55d0c0200000-55d0c0300000 rw-p 00200000 fe:00 42                         /usr/bin/portolan
7f0000000000-7f0000100000 r-xp 00000000 fe:00 43                         /usr/lib/libc.so.6
7f0000100000-7f0000200000 r-xp 00000000 00:00 0 
";

    #[test]
    fn only_the_programs_own_code_is_let_go_of() {
        let found = code_of(Path::new("/usr/bin/portolan"), MAPS);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0], 0x55d0_c010_0000..0x55d0_c020_0000);
    }

    #[test]
    fn code_that_was_let_go_of_still_runs() {
        let_go_of_code().unwrap();
        only_the_programs_own_code_is_let_go_of();
    }
}

//! The lock that keeps a second process from changing the directory meanwhile.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::error::{StateError, failed};

const LOCK: &str = "lock";
/// How often to look.
const POLL: Duration = Duration::from_millis(20);

/// Takes the lock and leaves this process's number in it, for others to name.
///
/// The lock file is never removed: a process that waits on a removed one would hold a lock that
/// nobody else sees.
pub(super) fn take_lock(dir: &Path, patience: Duration) -> Result<File, StateError> {
    let path = dir.join(LOCK);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(failed("open the lock", &path))?;
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
            Err(TryLockError::WouldBlock) if started.elapsed() >= patience => {
                return Err(StateError::Held {
                    path: dir.to_owned(),
                    pid: pid_in(&mut file),
                    waited: patience,
                });
            }
            Err(TryLockError::WouldBlock) => thread::sleep(POLL),
        }
    }
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(failed("write to the lock", &path))?;
    Ok(file)
}

/// The number a lock's holder left in it, if it has got that far.
fn pid_in(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

//! Processes by number: who is who, who is in which network namespace, and ending them.
//!
//! A number alone names nobody for long: the kernel gives it away again. With the time of its start
//! it names one process for ever. Must not know what the processes are for.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::named_netns::NetnsId;

/// How long a process may take to heed SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(2);
/// How long the kernel may take to end a process that is killed.
const KILL: Duration = Duration::from_secs(10);
/// How often is looked.
const LOOK: Duration = Duration::from_millis(5);

/// One process of this machine, now and later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// When it was started, in clock ticks since boot (`/proc/PID/stat`, field 22).
    pub start: u64,
}

impl Process {
    /// The process that has this number now; `None` if nobody has.
    #[must_use]
    pub fn find(pid: i32) -> Option<Self> {
        let (state, start) = stat(pid)?;
        (!matches!(state, 'Z' | 'X')).then_some(Self { pid, start })
    }

    /// Whether it runs still. One that has ended and waits for its parent to notice does not.
    #[must_use]
    pub fn is_alive(self) -> bool {
        Self::find(self.pid) == Some(self)
    }

    /// The network namespace it is in.
    #[must_use]
    pub fn netns(self) -> Option<NetnsId> {
        NetnsId::of(&PathBuf::from(format!("/proc/{}/ns/net", self.pid))).ok()
    }

    /// Ends it: SIGTERM, and SIGKILL if it does not heed that.
    pub fn end(self) {
        let started = Instant::now();
        self.signal(Signal::SIGTERM);
        while self.is_alive() && started.elapsed() < GRACE {
            thread::sleep(LOOK);
        }
        self.signal(Signal::SIGKILL);
    }

    fn signal(self, signal: Signal) {
        if self.is_alive() {
            // Gone in the meantime: that is what is wanted.
            let _ = kill(Pid::from_raw(self.pid), signal);
        }
    }
}

/// State and start of a process.
fn stat(pid: i32) -> Option<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in brackets, and may hold anything.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let start = fields.nth(18)?.parse().ok()?;
    Some((state, start))
}

/// The processes whose network namespace is one of these. Threads that have entered one on their
/// own do not count.
#[must_use]
pub fn inside(namespaces: &BTreeSet<NetnsId>) -> Vec<Process> {
    let Ok(entries) = fs::read_dir(Path::new("/proc")) else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(Process::find)
        .filter(|process| process.netns().is_some_and(|id| namespaces.contains(&id)))
        .collect()
}

/// Ends all processes of these namespaces: SIGTERM, and SIGKILL for those who do not heed it. Says
/// who is left, which is nobody unless the kernel is stuck.
///
/// Each is looked at again right before it is signalled, and what they start meanwhile is found.
#[must_use]
pub fn end_all(namespaces: &BTreeSet<NetnsId>) -> Vec<Process> {
    let started = Instant::now();
    let mut told = BTreeSet::new();
    loop {
        let left = inside(namespaces);
        if left.is_empty() || started.elapsed() > GRACE + KILL {
            return left;
        }
        for process in left {
            if started.elapsed() > GRACE {
                process.signal(Signal::SIGKILL);
            } else if told.insert(process) {
                process.signal(Signal::SIGTERM);
                // A stopped process hears nothing until it goes on.
                process.signal(Signal::SIGCONT);
            }
        }
        thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn own_pid() -> i32 {
        std::process::id().try_into().unwrap()
    }

    #[test]
    fn a_process_is_known_by_its_number_and_its_start() {
        let own = Process::find(own_pid()).unwrap();
        assert!(own.is_alive());
        let earlier = Process {
            start: own.start - 1,
            ..own
        };
        assert!(!earlier.is_alive(), "another one had the number before");
    }

    #[test]
    fn one_that_has_ended_and_was_not_waited_for_is_not_alive() {
        let mut child = Command::new("true").spawn().unwrap();
        let pid = child.id().try_into().unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        while Process::find(pid).is_some() {
            assert!(Instant::now() < end, "true does not end");
            thread::sleep(LOOK);
        }
        child.wait().unwrap();
    }

    #[test]
    fn the_processes_of_a_namespace_are_found() {
        let own = NetnsId::of(Path::new("/proc/self/ns/net")).unwrap();
        let found = inside(&BTreeSet::from([own]));
        assert!(found.iter().any(|process| process.pid == own_pid()));
        assert_eq!(inside(&BTreeSet::new()), []);
    }
}

//! A node that can no longer renew its Lease, while all others can.

use std::fs;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::api_server::{Wire, eventually};
use crate::bed::{Bed, VIPS};
use crate::cluster::{LEASE, holder, owner};
use crate::frames::{Frames, Said};

/// Long enough for a slow machine to keep what lies between its parts apart: it is given up after
/// 4 s.
const DURATION: Duration = Duration::from_secs(6);

fn bed() -> Bed {
    let mut bed = Bed::in_cluster("Cluster", true);
    bed.lease = "6s";
    bed.start_all();
    bed
}

/// When a node has last renewed its Lease, once another has it and is heard.
fn replaced(bed: &Bed, first: usize, frames: &Frames) -> Timestamp {
    let server = bed.server.as_ref().unwrap();
    let (mut renewed, start) = (None, Instant::now());
    while !frames.both(|node| node != first) {
        let lease = server.lease(LEASE);
        if lease["spec"]["holderIdentity"] == format!("n{first}") {
            let text = lease["spec"]["renewTime"].as_str().unwrap();
            renewed = Some(text.parse().unwrap());
        }
        assert!(
            start.elapsed() < 10 * DURATION,
            "nobody else\n{}",
            bed.log()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    renewed.expect("it was the holder")
}

/// The first is heard within its Lease, the next after it, and never both in turn.
fn one_after_the_other(bed: &Bed, first: usize, renewed: Timestamp, frames: &Frames) {
    let said = frames.said();
    for vip in VIPS {
        let of_it = said.iter().filter(|one| one.vip == vip);
        let (before, after): (Vec<&Said>, Vec<&Said>) = of_it.partition(|one| one.node == first);
        let (last, next) = (before.last().unwrap(), after.first().unwrap());
        let end = renewed + DURATION;
        println!(
            "{vip}: the last {:?} after the renewal, the next {:?}",
            last.at.duration_since(renewed),
            next.at.duration_since(renewed)
        );
        assert!(
            last.at < end,
            "beyond its Lease of {end}: {last:?}\n{}",
            bed.log()
        );
        assert!(
            next.at >= end,
            "within the Lease of another, {end}: {next:?}"
        );
        assert!(last.at < next.at, "two at once: {next:?}, {last:?}");
        assert!(after.iter().all(|one| one.node == next.node), "{after:?}");
    }
}

#[test]
fn an_owner_cut_off_alone_falls_silent_before_the_next_begins() {
    let mut bed = bed();
    let first = owner(&mut bed);
    bed.reaches();
    let frames = bed.listen();
    eventually("it answers", || frames.both(|node| node == first));
    bed.wire(first, Wire::Frozen);
    let renewed = replaced(&bed, first, &frames);
    one_after_the_other(&bed, first, renewed, &frames);
    bed.reaches();
    // It sees that another has its Lease, and leaves it alone.
    bed.wire(first, Wire::Pass);
    std::thread::sleep(DURATION / 2);
    one_after_the_other(&bed, first, renewed, &frames);
    drop(frames);
    let second = owner(&mut bed);
    assert_ne!(second, first);
    assert_eq!(holder(&bed), Some(format!("n{second}")));
    bed.check();
}

/// The threads that Leases are kept on do not run: a machine without CPU for them, a deadlock.
/// Stopped as a debugger does; they go on when dropped, or with the end of this thread.
struct Stalled(Vec<Pid>);

impl Stalled {
    fn threads_of(pid: u32) -> Self {
        let mut stalled = Self(Vec::new());
        for entry in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
            let path = entry.unwrap().path();
            if fs::read_to_string(path.join("comm")).unwrap().trim() != "agent" {
                continue;
            }
            let name = path.file_name().unwrap().to_str().unwrap();
            let thread = Pid::from_raw(name.parse().unwrap());
            ptrace::seize(thread, ptrace::Options::empty()).unwrap();
            ptrace::interrupt(thread).unwrap();
            waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
            stalled.0.push(thread);
        }
        assert!(!stalled.0.is_empty());
        stalled
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        for thread in &self.0 {
            let _ = ptrace::detach(*thread, None);
        }
    }
}

#[test]
fn an_owner_whose_keeper_of_leases_stalls_falls_silent_by_itself() {
    let mut bed = bed();
    let first = owner(&mut bed);
    let frames = bed.listen();
    eventually("it answers", || frames.both(|node| node == first));
    let stalled = Stalled::threads_of(bed.pid(first));
    let renewed = replaced(&bed, first, &frames);
    // Long enough to be heard once more, if it were.
    std::thread::sleep(Duration::from_secs(2));
    one_after_the_other(&bed, first, renewed, &frames);
    drop(stalled);
    std::thread::sleep(DURATION / 2);
    one_after_the_other(&bed, first, renewed, &frames);
    drop(frames);
    assert_ne!(owner(&mut bed), first);
    bed.reaches();
    bed.check();
}

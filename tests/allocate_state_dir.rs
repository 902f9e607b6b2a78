//! The state directory when its writer is killed: whoever comes next finds a whole file.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use portolan::model::NamespacedName;
use portolan::model::allocate::{Allocations, ServiceAllocation};
use portolan::source::state_dir::{LockMode, StateDir};

/// Tells the helper which directory to write to.
const DIR: &str = "PORTOLAN_TEST_STATE_DIR";
/// Set where the writer begins with the second of the two files.
const ODD: &str = "PORTOLAN_TEST_ODD";
const SERVICES: u32 = 2_000;

/// All addresses of a generation are in one block, so that a mixture would show.
fn generation(number: u32) -> Allocations {
    let base = u32::from(Ipv4Addr::new(10, 0, 0, 0)) + number * SERVICES;
    let record = |index: u32| ServiceAllocation {
        cluster_ips: vec![Ipv4Addr::from(base + index).into()],
        ..ServiceAllocation::default()
    };
    let named = |index| {
        let name = NamespacedName::new("default", format!("web-{index}"));
        (name, record(index))
    };
    (0..SERVICES).map(named).collect()
}

/// Not a test of its own: what the other one starts and kills.
#[test]
#[ignore = "started by the crash test"]
fn helper_that_writes_for_ever() {
    let Some(path) = std::env::var_os(DIR) else {
        return;
    };
    let dir = StateDir::open(&path, LockMode::Exclusive).unwrap();
    let first = usize::from(std::env::var_os(ODD).is_some());
    for number in (0..2).cycle().skip(first) {
        dir.write(&generation(number)).unwrap();
    }
}

/// Rounds take turns in which of the two files the writer begins with.
fn start_writer(path: &Path, round: u64) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    if round % 2 == 1 {
        command.env(ODD, "1");
    }
    command
        .args(["--exact", "helper_that_writes_for_ever", "--ignored"])
        .env(DIR, path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn killing_a_writer_at_any_moment_leaves_a_whole_file() {
    let home = tempfile::tempdir().unwrap();
    let whole = [generation(0), generation(1)];
    StateDir::open(home.path(), LockMode::Exclusive)
        .unwrap()
        .write(&whole[0])
        .unwrap();
    let mut seen = [0; 2];
    for round in 0..30u64 {
        let file = || {
            std::fs::metadata(home.path().join("allocations.json"))
                .unwrap()
                .ino()
        };
        let before = file();
        let mut writer = start_writer(home.path(), round);
        wait_for("the writer writes", || file() != before);
        // Steps of a prime number of microseconds, to hit different places of the loop.
        std::thread::sleep(Duration::from_micros(round * 3_571));
        writer.kill().unwrap();
        writer.wait().unwrap();

        let reader = StateDir::open(home.path(), LockMode::ReadOnly).unwrap();
        let found = reader.read().unwrap();
        let which = whole.iter().position(|generation| *generation == found);
        seen[which.unwrap_or_else(|| panic!("a mixture after round {round}"))] += 1;
    }
    assert!(
        seen.iter().all(|count| *count > 0),
        "the writer did write: {seen:?}"
    );
    // The kernel let go of the lock, and what the writers left half-written goes.
    let next = StateDir::open(home.path(), LockMode::Exclusive).unwrap();
    next.write(&whole[1]).unwrap();
    let mut files: Vec<_> = std::fs::read_dir(home.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    files.sort();
    assert_eq!(files, ["allocations.json", "lock"]);
}

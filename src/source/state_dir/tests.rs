//! What is written, read, locked and refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::*;
use crate::model::NamespacedName;
use crate::model::allocate::ServiceAllocation;

fn allocations(last: u8) -> Allocations {
    let record = ServiceAllocation {
        cluster_ips: vec![[10, 233, 10, last].into()],
        ..ServiceAllocation::default()
    };
    [(NamespacedName::new("default", "web"), record)]
        .into_iter()
        .collect()
}

fn open(path: &Path) -> StateDir {
    StateDir::open_within(path.to_owned(), LockMode::Exclusive, Duration::ZERO).unwrap()
}

/// A state directory whose file has this content, and why it cannot be read.
fn refusal(content: &[u8]) -> (String, StateError) {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(FILE);
    fs::write(&file, content).unwrap();
    let dir = open(home.path());
    let error = dir.read().unwrap_err();
    assert!(dir.write(&allocations(1)).is_err());
    assert_eq!(fs::read(&file).unwrap(), content, "never overwritten");
    let text = error.to_string();
    (text.replace(&file.display().to_string(), "FILE"), error)
}

#[test]
fn what_was_written_is_read_again() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("a/b");
    open(&path).write(&allocations(1)).unwrap();
    open(&path).write(&allocations(2)).unwrap();
    let reader = StateDir::open(&path, LockMode::ReadOnly).unwrap();
    assert_eq!(reader.read().unwrap(), allocations(2));
}

#[test]
fn the_file_is_readable_by_people_and_by_everybody() {
    let home = tempfile::tempdir().unwrap();
    open(home.path()).write(&allocations(1)).unwrap();
    let file = home.path().join(FILE);
    let text = fs::read_to_string(&file).unwrap();
    let expected = r#"{
  "version": 1,
  "services": [
    {
      "namespace": "default",
      "name": "web",
      "clusterIPs": [
        "10.233.10.1"
      ]
    }
  ]
}
"#;
    assert_eq!(text, expected);
    let mode = fs::metadata(file).unwrap().permissions().mode();
    assert_eq!(mode & 0o444, 0o444);
}

#[test]
fn a_missing_directory_or_file_is_empty_and_reading_creates_nothing() {
    let home = tempfile::tempdir().unwrap();
    for path in [home.path().to_owned(), home.path().join("missing")] {
        let dir = StateDir::open(path, LockMode::ReadOnly).unwrap();
        assert!(dir.read().unwrap().is_empty());
        let error = dir.write(&allocations(1)).unwrap_err();
        assert!(matches!(error, StateError::ReadOnly { .. }));
    }
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn the_same_again_is_not_written() {
    let home = tempfile::tempdir().unwrap();
    let dir = open(home.path());
    dir.write(&allocations(1)).unwrap();
    let modified = || {
        fs::metadata(home.path().join(FILE))
            .unwrap()
            .modified()
            .unwrap()
    };
    let before = modified();
    dir.write(&allocations(1)).unwrap();
    assert_eq!(modified(), before);
}

#[test]
fn a_second_process_is_told_who_has_the_lock() {
    let home = tempfile::tempdir().unwrap();
    let first = open(home.path());
    let again = StateDir::open_within(
        home.path().to_owned(),
        LockMode::Exclusive,
        Duration::from_millis(30),
    );
    let text = again.unwrap_err().to_string();
    let holder = format!("another portolan (pid {})", std::process::id());
    assert!(text.starts_with(&holder), "{text}");
    assert!(
        StateDir::open(home.path(), LockMode::ReadOnly)
            .unwrap()
            .read()
            .is_ok()
    );
    drop(first);
    open(home.path());
}

#[test]
fn the_lock_is_waited_for() {
    let home = tempfile::tempdir().unwrap();
    let first = open(home.path());
    let path = home.path().to_owned();
    let second = thread::spawn(|| StateDir::open(path, LockMode::Exclusive).map(drop));
    thread::sleep(Duration::from_millis(100));
    drop(first);
    second.join().unwrap().unwrap();
}

#[test]
fn a_corrupt_file_is_named_with_the_place_and_kept() {
    let advice = "; the file is left as it is: restore it from a copy, or move it away to have addresses and node ports chosen anew";
    let table: [(&[u8], &str); 6] = [
        (b"", "FILE: line 1 column 0: EOF while parsing a value"),
        (b"\xff\x00junk", "FILE: line 1 column 1: expected value"),
        (b"{\"version\": 1", "FILE: line 1 column 13: EOF while parsing an object"),
        (b"{}", "FILE: line 1 column 2: missing field `version`"),
        (
            b"{\"version\": 1,\n \"services\": [{\"namespace\": \"d\", \"name\": \"a\", \"clusterIPs\": [\"10.0.0\"]}]}",
            "FILE: line 2 column 69: invalid IP address syntax",
        ),
        (
            b"{\"version\": 1, \"services\": [], \"more\": 1}",
            "FILE: line 1 column 37: unknown field `more`, expected `version` or `services`",
        ),
    ];
    for (content, reason) in table {
        assert_eq!(refusal(content).0, format!("{reason}{advice}"));
    }
}

#[test]
fn a_file_of_a_later_version_is_kept() {
    let (text, error) = refusal(b"{\"version\": 2, \"other\": true}");
    assert!(matches!(error, StateError::Version { found: 2, .. }));
    assert!(text.starts_with("FILE: has format version 2 and this portolan knows version 1 only"));
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(FILE)).unwrap();
    let error = open(home.path()).read().unwrap_err();
    assert!(error.to_string().starts_with("cannot read "), "{error}");
}

#[test]
fn left_overs_of_a_killed_writer_are_removed() {
    let home = tempfile::tempdir().unwrap();
    let left_over = home.path().join(".allocations.x1y2.tmp");
    fs::write(&left_over, b"{\"vers").unwrap();
    open(home.path());
    assert!(!left_over.exists());
}

//! The one way for a test to say that it did not run.

use std::fs::OpenOptions;
use std::io::Write;

/// Says that a test did not run because the machine lacks something, which a probe has shown.
/// Where `CI` is set, everything that can be installed is there, so only a lack of the kernel is
/// accepted. `scripts/test` lists the reasons at its end.
pub(crate) fn skip(lack: Lack, reason: &str) {
    let in_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
    assert!(
        lack == Lack::Kernel || !in_ci,
        "a test that could run was about to be skipped: {reason}"
    );
    println!("SKIP: {reason}");
    if let Some(list) = std::env::var_os("PORTOLAN_TEST_SKIPS") {
        let file = OpenOptions::new().append(true).open(list);
        // Appending one short line is atomic: tests in parallel do not mix theirs.
        let written = file.and_then(|mut file| file.write_all(format!("{reason}\n").as_bytes()));
        written.expect("note the skip");
    }
}

/// What is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// The running kernel cannot do it; nothing that is installed changes that.
    Kernel,
    /// A program or a privilege that can be had.
    Machine,
}

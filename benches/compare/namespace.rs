//! Network namespaces for the cases: every one begins in an empty kernel.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sched::{CloneFlags, unshare};

/// How long the kernel is given to free what was there before.
const SETTLE: Duration = Duration::from_millis(300);

/// Moves this thread, and so the commands it starts, into a new network namespace. It goes away
/// with the last process in it; the one before goes away now.
pub(crate) fn fresh() -> anyhow::Result<()> {
    // The kernel frees a namespace's rules in the background, which would be charged to nobody and
    // slow down the next run. Emptied first, little is left for that.
    static INSIDE: AtomicBool = AtomicBool::new(false);
    if INSIDE.load(Ordering::Relaxed) {
        // Only the next figures suffer if it fails.
        let _ = Command::new("nft").args(["flush", "ruleset"]).status();
    }
    unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace (not root?)")?;
    INSIDE.store(true, Ordering::Relaxed);
    // The node's address, as the manifests have it.
    ip("link set lo up")?;
    ip("address add 192.168.10.100/24 dev lo")?;
    thread::sleep(SETTLE);
    Ok(())
}

/// Runs `ip` with these words.
pub(crate) fn ip(words: &str) -> anyhow::Result<()> {
    let status = Command::new("ip").args(words.split(' ')).status();
    if !status.context("cannot start ip")?.success() {
        bail!("ip {words} failed");
    }
    Ok(())
}

//! Network namespaces for the cases: every one begins in an empty kernel.

use std::fs::File;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sched::{CloneFlags, setns, unshare};

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

/// The network namespace this program was started in.
static HOME: OnceLock<File> = OnceLock::new();

/// Remembers where this thread is now; to be called before anything else.
pub(crate) fn remember_home() -> anyhow::Result<()> {
    let file = File::open("/proc/thread-self/ns/net").context("cannot open the namespace")?;
    HOME.get_or_init(|| file);
    Ok(())
}

/// Runs something on a thread of its own in the namespace that was remembered.
pub(crate) fn spawn_at_home<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<thread::JoinHandle<T>> {
    let home = HOME.get().context("no namespace was remembered")?;
    let (entered, has_entered) = std::sync::mpsc::channel();
    let thread = thread::spawn(move || {
        let outcome = setns(home, CloneFlags::CLONE_NEWNET);
        // The other end waits for this word.
        let _ = entered.send(outcome);
        work()
    });
    has_entered.recv()?.context("cannot enter the namespace")?;
    Ok(thread)
}

/// The same, waited for.
pub(crate) fn at_home<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<T> {
    let done = spawn_at_home(work)?.join();
    done.map_err(|_| anyhow::anyhow!("a thread died"))
}

/// Runs `ip` with these words.
pub(crate) fn ip(words: &str) -> anyhow::Result<()> {
    let status = Command::new("ip").args(words.split(' ')).status();
    if !status.context("cannot start ip")?.success() {
        bail!("ip {words} failed");
    }
    Ok(())
}

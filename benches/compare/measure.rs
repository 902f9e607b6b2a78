//! What one command uses: wall time, CPU time of its own and of the kernel for it, peak memory.
//!
//! The system adds up what all ended children of a process used. So each command is started by a
//! process of its own, this program in the role `measure`, whose only child it is.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde::{Deserialize, Serialize};

use crate::result::Sample;

/// How often to look whether a command has ended. It bounds the error of the wall time.
const POLL: Duration = Duration::from_micros(500);

/// A command to run.
#[derive(Args, Debug)]
pub(crate) struct Request {
    /// Seconds after which it is killed.
    #[arg(long)]
    limit: u64,
    /// File it reads from.
    #[arg(long)]
    stdin: Option<PathBuf>,
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// What a command used.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Usage {
    pub(crate) wall_seconds: f64,
    pub(crate) user_seconds: f64,
    pub(crate) kernel_seconds: f64,
    pub(crate) peak_kilobytes: i64,
    /// It did not end within the limit and was killed; the rest says what it used until then.
    pub(crate) stopped: bool,
}

impl From<Usage> for Sample {
    fn from(usage: Usage) -> Self {
        if usage.stopped {
            // What it had used by then says nothing about what it would have used.
            return Self::stopped_after(Duration::from_secs_f64(usage.wall_seconds));
        }
        Self {
            wall_seconds: usage.wall_seconds,
            cpu_seconds: Some(usage.user_seconds + usage.kernel_seconds),
            kernel_seconds: Some(usage.kernel_seconds),
            peak_megabytes: Some(usage.peak_kilobytes as f64 / 1024.0),
            ..Self::default()
        }
    }
}

/// Runs a command in this process's network namespace and measures it.
///
/// # Errors
///
/// The command cannot be started, or it failed; its own words have gone to standard error.
pub(crate) fn measure(
    command: &[OsString],
    stdin: Option<&Path>,
    limit: Duration,
) -> anyhow::Result<Usage> {
    let mut helper = Command::new("/proc/self/exe");
    helper.args(["measure", "--limit", &limit.as_secs().to_string()]);
    if let Some(stdin) = stdin {
        helper.arg("--stdin").arg(stdin);
    }
    let output = helper
        .arg("--")
        .args(command)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start the measuring process")?;
    if !output.status.success() {
        bail!("{} failed", describe(command));
    }
    serde_json::from_slice(&output.stdout).context("cannot read the measurement")
}

fn describe(command: &[OsString]) -> String {
    let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// The role `measure`.
///
/// # Errors
///
/// As [`measure`].
pub(crate) fn serve(request: &Request) -> anyhow::Result<()> {
    let [program, args @ ..] = request.command.as_slice() else {
        bail!("no command");
    };
    let mut command = Command::new(program);
    command.args(args).stdout(Stdio::null());
    if let Some(path) = &request.stdin {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        command.stdin(file);
    }
    let started = Instant::now();
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let limit = Duration::from_secs(request.limit);
    let mut stopped = false;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if !stopped && started.elapsed() >= limit {
            child.kill()?;
            stopped = true;
        }
        thread::sleep(POLL);
    };
    let wall = started.elapsed();
    if !status.success() && !stopped {
        bail!("{} ended with {status}", program.display());
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let usage = Usage {
        wall_seconds: wall.as_secs_f64(),
        user_seconds: seconds(usage.user_time()),
        kernel_seconds: seconds(usage.system_time()),
        peak_kilobytes: usage.max_rss(),
        stopped,
    };
    println!("{}", serde_json::to_string(&usage)?);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "seconds of CPU time are few")]
fn seconds(time: TimeVal) -> f64 {
    time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
}

//! Starting a lab's programs in its namespaces, so that they outlive the verb that started them, and
//! knowing when they are ready.
//!
//! All of them are this same program with another verb, or HAProxy. They tell that they are ready as
//! services tell systemd (`sd_notify(3)`). Must not know what they do.

use std::fs::{self, File};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use tempfile::TempPath;

use super::LabError;
use super::place::{Place, netns};
use crate::kernel::netns::run_in;
use crate::kernel::process::Process;

/// How long a program may take until it is ready. Far longer than it takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often is looked whether it has ended instead.
const LOOK: Duration = Duration::from_millis(50);
/// As much of a log as a person wants to see.
const LAST_LINES: usize = 10;

/// A program that was started.
#[derive(Debug)]
pub(super) struct Starting {
    what: String,
    child: Child,
    process: Process,
    log: PathBuf,
    ready: UnixDatagram,
    /// Removed with this value.
    _socket: TempPath,
}

/// What to start.
#[derive(Debug)]
pub(super) struct Program<'a> {
    /// How messages name it, and the file of its log.
    pub(super) what: String,
    /// Name of the network namespace it is to run in.
    pub(super) netns: String,
    /// Another program than this one.
    pub(super) other: Option<&'static str>,
    /// Its arguments.
    pub(super) arguments: Vec<String>,
    pub(super) place: &'a Place,
}

/// The file of this program.
pub(super) fn own_file() -> Result<PathBuf, LabError> {
    Ok(std::env::current_exe().context("cannot find the program's own file")?)
}

/// The log of a program.
pub(super) fn log_file(place: &Place, what: &str) -> PathBuf {
    place.file("log").join(format!("{what}.log"))
}

impl Program<'_> {
    /// Starts it.
    pub(super) fn start(self) -> Result<Starting, LabError> {
        let program = match self.other {
            Some(other) => PathBuf::from(other),
            None => own_file()?,
        };
        let log = log_file(self.place, &self.what);
        let file = log_of(&log)?;
        // Paths of sockets are short: names of pods need not be.
        let mut socket = tempfile::Builder::new();
        let socket = socket
            .prefix("ready-")
            .make_in(self.place.directory(), |path| UnixDatagram::bind(path))?;
        let (ready, socket) = socket.into_parts();
        ready.set_read_timeout(Some(LOOK))?;
        let mut command = Command::new(program);
        command
            .args(&self.arguments)
            .env("NOTIFY_SOCKET", &*socket)
            .env_remove("WATCHDOG_USEC")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            // Ctrl-C at the terminal is for the verb, not for what it leaves behind.
            .process_group(0);
        let child = run_in(&netns(&self.netns), || command.spawn())?
            .with_context(|| format!("cannot start {}", self.what))?;
        let process = i32::try_from(child.id()).ok().and_then(Process::find);
        let Some(process) = process else {
            return Err(anyhow!("{} ended at once:{}", self.what, last_lines(&log)).into());
        };
        Ok(Starting {
            what: self.what,
            child,
            process,
            log,
            ready,
            _socket: socket,
        })
    }
}

impl Starting {
    /// Waits until it is ready.
    pub(super) fn wait(mut self) -> Result<Process, LabError> {
        let end = Instant::now() + PATIENCE;
        let mut words = [0; 256];
        loop {
            match self.ready.recv(&mut words) {
                Ok(length) if words[..length].starts_with(b"READY=1") => return Ok(self.process),
                Ok(_) => {}
                Err(error) if is_timeout(&error) => {}
                Err(error) => return Err(error.into()),
            }
            if let Some(status) = self.child.try_wait()? {
                let last = last_lines(&self.log);
                return Err(anyhow!("{} has ended ({status}):{last}", self.what).into());
            }
            if Instant::now() > end {
                let last = last_lines(&self.log);
                return Err(anyhow!("{} is not ready after {PATIENCE:?}:{last}", self.what).into());
            }
        }
    }
}

/// The file that a program's output goes to, which keeps what earlier ones of the name wrote.
pub(super) fn log_of(path: &Path) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    File::options().append(true).create(true).open(path)
}

fn is_timeout(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}

/// The end of a log, each line on a line of its own behind the message.
pub(super) fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.len().saturating_sub(LAST_LINES);
    let lines = lines[first..].iter();
    lines.map(|line| format!("\n  {line}")).collect()
}

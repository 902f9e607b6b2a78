//! A program that stays: started, watched, stopped. Measures it from outside.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;

/// Between two looks at a program that starts.
const POLL: Duration = Duration::from_millis(1);
/// How long a program has no CPU time to be idle.
const IDLE: Duration = Duration::from_millis(40);
/// How long it may take to become idle, and to stop.
const PATIENCE: Duration = Duration::from_secs(20);
/// Where portolan and kube-proxy serve metrics, inside the namespace.
const METRICS: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(
    std::net::Ipv4Addr::LOCALHOST,
    10249,
));

/// How to know that the first load is in the kernel.
pub(crate) enum Ready {
    /// It tells its service manager.
    Notify,
    /// Its metric of the last sync is there.
    Synced,
}

/// A running program. Killed when dropped.
pub(crate) struct Agent {
    child: Child,
    started: Instant,
    notices: UnixDatagram,
    words: PathBuf,
    _home: tempfile::TempDir,
}

impl Agent {
    /// Starts it in this thread's network namespace.
    pub(crate) fn start(program: &Path, arguments: &[OsString]) -> anyhow::Result<Self> {
        let home = tempfile::tempdir()?;
        let (socket, words) = (home.path().join("notify"), home.path().join("stderr"));
        let notices = UnixDatagram::bind(&socket)?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("NOTIFY_SOCKET", &socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&words)?);
        let started = Instant::now();
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self {
            child,
            started,
            notices,
            words,
            _home: home,
        })
    }

    /// Waits until the first load is in the kernel; gives the time since the start, or nothing
    /// if that took longer than `limit`.
    pub(crate) fn ready(
        &mut self,
        how: &Ready,
        limit: Duration,
    ) -> anyhow::Result<Option<Duration>> {
        while self.started.elapsed() < limit {
            if let Some(status) = self.child.try_wait()? {
                let words = fs::read_to_string(&self.words).unwrap_or_default();
                bail!("it ended with {status}: {}", words.trim());
            }
            let ready = match how {
                Ready::Notify => self.heard_ready(POLL)?,
                Ready::Synced => {
                    thread::sleep(POLL * 20);
                    let name = "kubeproxy_sync_proxy_rules_last_timestamp_seconds";
                    Metrics::read().is_ok_and(|metrics| metrics.sum(name) > 0.0)
                }
            };
            if ready {
                return Ok(Some(self.started.elapsed()));
            }
        }
        Ok(None)
    }

    fn heard_ready(&self, wait: Duration) -> anyhow::Result<bool> {
        self.notices.set_read_timeout(Some(wait))?;
        let mut buffer = [0; 256];
        let length = self.notices.recv(&mut buffer).unwrap_or(0);
        Ok(buffer[..length].starts_with(b"READY=1"))
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(i32::MAX))
    }

    /// CPU time so far, its own and the kernel's for it.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let clock = clock_getcpuclockid(self.pid())?;
        Ok(clock.now()?.into())
    }

    /// The kernel's part, in the kernel's own coarse count.
    pub(crate) fn kernel_cpu(&self) -> anyhow::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // Fields are counted after the name, which is in parentheses and may hold anything.
        let ticks = stat
            .rsplit(") ")
            .next()
            .and_then(|rest| rest.split(' ').nth(12));
        let ticks: f64 = ticks.context("/proc/PID/stat is short")?.parse()?;
        Ok(ticks / 100.0)
    }

    /// Megabytes, by name of the line in `/proc/PID/status`: `VmHWM`, `VmRSS`.
    pub(crate) fn memory(&self, line: &str) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let value = status
            .lines()
            .find_map(|text| text.strip_prefix(line)?.strip_prefix(':'))
            .and_then(|value| value.trim().strip_suffix(" kB"))
            .with_context(|| format!("no {line} in /proc/PID/status"))?;
        Ok(value.parse::<f64>()? / 1024.0)
    }

    /// Waits until it does nothing any more.
    pub(crate) fn idle(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut before = self.cpu()?;
        while begun.elapsed() < PATIENCE {
            thread::sleep(IDLE);
            let now = self.cpu()?;
            if now.saturating_sub(before) < Duration::from_micros(500) {
                return Ok(());
            }
            before = now;
        }
        Ok(())
    }

    /// Asks it to stop, and waits.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        kill(self.pid(), Signal::SIGTERM)?;
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            thread::sleep(POLL);
        }
        bail!("it did not stop on SIGTERM")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Of one that has ended already there is nothing left to kill or to wait for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Metrics of the program in this thread's network namespace.
pub(crate) struct Metrics(String);

impl Metrics {
    pub(crate) fn read() -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(METRICS)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(Self(text))
    }

    /// The sum of all values of a name.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        self.values(name).map(|(_, value)| value).sum()
    }

    /// The largest of all values of a name.
    pub(crate) fn most(&self, name: &str) -> f64 {
        self.values(name)
            .map(|(_, value)| value)
            .fold(0.0, f64::max)
    }

    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.0.lines().filter_map(move |line| {
            let rest = line.strip_prefix(name)?;
            if !rest.starts_with([' ', '{']) {
                return None;
            }
            let (labels, value) = rest.rsplit_once(' ')?;
            Some((labels, value.parse().ok()?))
        })
    }
}

//! An agent on the node of a testbed, and the directory of manifests that it follows.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::support::{Namespace, Service, Testbed, manifests, patience};

/// A directory of manifests, with its first content.
#[derive(Debug)]
pub(crate) struct Directory {
    home: TempDir,
}

impl Directory {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let directory = Self { home };
        directory.write("nodes.yaml", &[]);
        directory
    }

    pub(crate) fn path(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Replaces a file as editors and ConfigMaps do: written beside it, and renamed over it. The
    /// file of the nodes has them, all others have services only.
    pub(crate) fn write(&self, name: &str, services: &[Service]) {
        self.write_text(name, &text(name, services));
    }

    /// Writes a file where it is, with a pause in the middle. Gives the time that it took: a
    /// reader waits for 200 ms.
    pub(crate) fn write_in_place(&self, name: &str, services: &[Service]) -> Duration {
        let start = Instant::now();
        let text = text(name, services);
        let (head, tail) = text.as_bytes().split_at(text.len() / 2);
        let mut file = fs::File::create(self.file(name)).expect("create");
        file.write_all(head).expect("write");
        thread::sleep(Duration::from_millis(50));
        file.write_all(tail).expect("write");
        drop(file);
        start.elapsed()
    }

    pub(crate) fn write_text(&self, name: &str, text: &str) {
        let new = self.path().join(".new");
        fs::write(&new, text).expect("write");
        fs::rename(new, self.file(name)).expect("rename");
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.file(name)).expect("remove");
    }
}

fn text(name: &str, services: &[Service]) -> String {
    let all = manifests(services);
    if name == "nodes.yaml" {
        return all;
    }
    let parts = all.split("---\n").skip(3);
    parts.map(|part| format!("---\n{part}")).collect()
}

/// A running `portolan run`. It is killed with the test if it was not stopped.
#[derive(Debug)]
pub(crate) struct Agent<'a> {
    namespace: &'a Namespace,
    child: Child,
    log: PathBuf,
}

impl<'a> Agent<'a> {
    /// Starts it on the node, and waits until the first load is in the kernel.
    #[track_caller]
    pub(crate) fn start(bed: &'a Testbed, directory: &Directory, more: &[&str]) -> Self {
        Self::launch(bed, directory, more).loaded()
    }

    /// Waits until the first load is in the kernel. Its servers answer before that.
    #[track_caller]
    pub(crate) fn loaded(mut self) -> Self {
        self.eventually("it runs", |agent| agent.log().contains(" runs"));
        self
    }

    /// Starts it, come what may.
    pub(crate) fn launch(bed: &'a Testbed, directory: &Directory, more: &[&str]) -> Self {
        Self::launch_in(&bed.node.namespace, bed, directory, more)
    }

    /// Starts it in a namespace that need not be the node's.
    pub(crate) fn launch_in(
        namespace: &'a Namespace,
        bed: &Testbed,
        directory: &Directory,
        more: &[&str],
    ) -> Self {
        let log = directory.path().join(".log");
        let stderr = fs::File::create(&log).expect("log");
        let more = [&["-v", "--min-sync-period", "0s"], more].concat();
        let mut command = bed.command("run", directory.path(), &more);
        command.stderr(stderr);
        let child = namespace.enter(|| command.spawn()).expect("portolan");
        Self {
            namespace,
            child,
            log,
        }
    }

    /// Starts it as this command says, with its log in a file.
    #[allow(dead_code, reason = "for agents on a cluster")]
    pub(crate) fn spawn(namespace: &'a Namespace, mut command: Command, log: &Path) -> Self {
        let stderr = fs::File::options().create(true).append(true).open(log);
        let child = command.stderr(stderr.expect("log")).spawn();
        Self {
            namespace,
            child: child.expect("portolan"),
            log: log.to_owned(),
        }
    }

    /// `kill -9`, and its end.
    #[allow(dead_code, reason = "for agents on a cluster")]
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    /// Its process id.
    #[allow(dead_code, reason = "for agents on a cluster")]
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("log")
    }

    /// Waits until something is so.
    #[track_caller]
    pub(crate) fn eventually(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let end = Instant::now() + patience();
        while !is_so(self) {
            let ended = self.child.try_wait().expect("wait");
            assert!(ended.is_none(), "{what}: {ended:?}\n{}", self.log());
            assert!(Instant::now() < end, "{what}: not so\n{}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Bytes of memory that no file backs. Pages of the program's own code come and go.
    #[allow(dead_code, reason = "for what counts flows")]
    pub(crate) fn anonymous_memory(&self) -> u64 {
        let status = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(status).expect("a process that lives");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssAnon:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kilobytes: u64 = kilobytes.and_then(|n| n.parse().ok()).expect("a number");
        kilobytes * 1024
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().expect("a pid"));
        kill(pid, signal).expect("kill");
    }

    /// Waits for its end; gives its exit status and its log.
    #[track_caller]
    pub(crate) fn ends(mut self) -> (ExitStatus, String) {
        let end = Instant::now() + patience();
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return (status, self.log());
            }
            assert!(Instant::now() < end, "it goes on\n{}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGTERM, and an end without complaint; gives its log.
    #[track_caller]
    pub(crate) fn stop(self) -> String {
        self.signal(Signal::SIGTERM);
        let (status, log) = self.ends();
        assert_eq!(status.code(), Some(0), "{log}");
        log
    }

    /// Asks one of its servers, from within the node.
    pub(crate) fn get(&self, target: &str) -> Reply {
        get(self.namespace, target)
    }

    /// The value of a metric, labels included in its name; `None` if it is not there.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        let body = self.get("127.0.0.1:10249/metrics").body;
        let mut lines = body.lines().filter_map(|line| line.strip_prefix(name));
        lines.find_map(|rest| rest.strip_prefix(' ')?.parse().ok())
    }
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What an HTTP server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// 0 if there was no answer.
    pub(crate) code: u16,
    /// As lines in lower case.
    pub(crate) headers: String,
    pub(crate) body: String,
}

/// Asks with curl from inside a namespace.
pub(crate) fn get(namespace: &Namespace, target: &str) -> Reply {
    let url = format!("http://{target}");
    let args = ["--silent", "--include", "--max-time", "5", &url];
    let output = namespace.output("curl", &args);
    let text = String::from_utf8(output.stdout).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    let code = head.split_whitespace().nth(1);
    Reply {
        code: code.and_then(|code| code.parse().ok()).unwrap_or_default(),
        headers: head.to_lowercase(),
        body: body.to_owned(),
    }
}

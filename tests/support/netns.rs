//! One network namespace, held open by a file of this process.
//!
//! It has no name under `/run/netns`: the kernel frees it with its last file, socket and process,
//! so nothing is left behind even by `kill -9`, and nothing can clash with another test. Others
//! reach it as `/proc/PID/fd/N`, which `ip link … netns PATH`, `nsenter --net=PATH` and
//! `portolan --netns PATH` all take.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

/// A network namespace of our own, with the settings below in force for every later interface.
#[derive(Debug)]
pub(crate) struct Namespace {
    file: File,
}

/// What every namespace of the testbed is set to before it has interfaces.
///
/// Routing is on and reverse-path filters are off, as on a Kubernetes node. Redirects are off
/// because two pods share one link of the node: a redirect would make replies go past it. IPv6
/// addresses are usable at once (no duplicate address detection). The kernel's rate limit for ICMP
/// errors would turn the seventh refused connection of a second into a timeout.
const SETTINGS: &[(&str, &str)] = &[
    ("ipv4/ip_forward", "1"),
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/default/send_redirects", "0"),
    ("ipv4/conf/all/accept_redirects", "0"),
    ("ipv4/conf/default/accept_redirects", "0"),
    ("ipv4/icmp_ratelimit", "0"),
    ("ipv6/conf/all/forwarding", "1"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv6/conf/all/accept_redirects", "0"),
    ("ipv6/conf/default/accept_redirects", "0"),
    ("ipv6/icmp/ratelimit", "0"),
];

impl Namespace {
    /// Makes one; the calling thread stays where it is.
    pub(crate) fn new() -> Self {
        thread::scope(|scope| {
            scope
                .spawn(Self::make)
                .join()
                .expect("a new network namespace")
        })
    }

    fn make() -> Self {
        unshare(CloneFlags::CLONE_NEWNET).expect("unshare(CLONE_NEWNET)");
        for (name, value) in SETTINGS {
            let path = format!("/proc/sys/net/{name}");
            fs::write(&path, value).unwrap_or_else(|error| panic!("{path} = {value}: {error}"));
        }
        let file = File::open("/proc/thread-self/ns/net").expect("own namespace");
        Self { file }
    }

    /// A path under which any process of this machine finds the namespace while the test runs.
    pub(crate) fn path(&self) -> PathBuf {
        let pid = std::process::id();
        PathBuf::from(format!("/proc/{pid}/fd/{}", self.file.as_raw_fd()))
    }

    /// Runs `work` on a thread of its own inside. Sockets it opens and processes it starts belong
    /// to the namespace from then on.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let run = || {
            setns(&self.file, CloneFlags::CLONE_NEWNET).expect("setns");
            work()
        };
        match thread::scope(|scope| scope.spawn(run).join()) {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Runs a program inside, whatever its end.
    pub(crate) fn output(&self, program: &str, args: &[&str]) -> Output {
        self.enter(|| Command::new(program).args(args).output())
            .unwrap_or_else(|error| panic!("{program}: {error}"))
    }

    /// Runs a program inside that must succeed; gives its standard output.
    pub(crate) fn run(&self, program: &str, args: &[&str]) -> String {
        succeeded(
            &format!("{program} {}", args.join(" ")),
            self.output(program, args),
        )
    }

    /// Runs a program inside that reads `input` and must succeed; gives its standard output.
    pub(crate) fn run_with_input(&self, program: &str, args: &[&str], input: &str) -> String {
        let output = self.enter(|| {
            let mut child = Command::new(program)
                .args(args)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap_or_else(|error| panic!("{program}: {error}"));
            let mut stdin = child.stdin.take().expect("stdin");
            thread::scope(|scope| {
                // A program that stops reading early says why on standard error.
                scope.spawn(move || stdin.write_all(input.as_bytes()));
                child.wait_with_output().expect("wait")
            })
        });
        succeeded(
            &format!("{program} {} <<'.'\n{input}.", args.join(" ")),
            output,
        )
    }

    /// Runs one `ip -batch`, which costs one process for any number of lines.
    pub(crate) fn ip(&self, lines: &[String]) {
        self.run_with_input("ip", &["-batch", "-"], &(lines.join("\n") + "\n"));
    }

    /// Sets a value under `/proc/sys/net`.
    pub(crate) fn set_sysctl(&self, name: &str, value: &str) {
        let path = format!("/proc/sys/net/{name}");
        let written = self.enter(|| fs::write(&path, value));
        written.unwrap_or_else(|error| panic!("{path} = {value}: {error}"));
    }

    /// Reads a value under `/proc/sys/net`.
    pub(crate) fn sysctl(&self, name: &str) -> String {
        let path = format!("/proc/sys/net/{name}");
        let read = self.enter(|| fs::read_to_string(&path));
        read.unwrap_or_else(|error| panic!("{path}: {error}"))
            .trim()
            .to_owned()
    }
}

/// The standard output of a program that must have succeeded.
fn succeeded(what: &str, output: Output) -> String {
    assert!(
        output.status.success(),
        "{what}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

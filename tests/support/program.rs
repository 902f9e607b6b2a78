//! Running the `portolan` that was just built.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use super::bed::Testbed;
use super::manifest::{Service, manifests};
use super::netns::Namespace;
use super::tables::Family;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_portolan");

/// The pod ranges of the testbed and of the parity captures.
pub(crate) const CLUSTER_CIDR: &str = "10.233.64.0/18,fd00:10:244::/56";

/// The service ranges of the testbed.
pub(crate) const SERVICE_CIDR: &str = "10.233.0.0/18,fd00:10:233::/112";

/// A shell command that is run with `sh -c` on the text of `iptables-save` after each
/// [`Testbed::apply`]; what it prints is loaded instead. It is how one sees a traffic test fail on
/// wrong rules: `PORTOLAN_TEST_SPOIL="sed s/0.5000/0.9000/" cargo nextest run --test traffic`.
const SPOIL: &str = "PORTOLAN_TEST_SPOIL";

/// How a run ended.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) arguments: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn of(arguments: &str, output: &Output) -> Self {
        Self {
            arguments: arguments.to_owned(),
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Ended with this exit code; gives itself back for more questions.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        let Self {
            arguments,
            stdout,
            stderr,
            ..
        } = &self;
        assert_eq!(
            self.code,
            Some(code),
            "portolan {arguments}\n{stdout}\n{stderr}"
        );
        self
    }
}

/// Whether `portolan run` stands for `portolan apply` in this test binary.
pub(crate) fn is_agent_tested() -> bool {
    env!("CARGO_CRATE_NAME").contains("_run_")
}

/// Whether the agent forwards by itself in this test binary. Its rules are those of the nftables
/// mode, so that is what [`Mode::tested`] says.
pub(crate) fn is_userspace_tested() -> bool {
    env!("CARGO_CRATE_NAME").ends_with("_userspace")
}

/// How long a test waits for what a program does: longer than anything takes on a busy machine, and
/// more in an emulated one, where `scripts/vm/run` says so.
pub(crate) fn patience() -> Duration {
    let emulated = std::env::var_os("PORTOLAN_TEST_VM").is_some();
    Duration::from_secs(if emulated { 600 } else { 60 })
}

/// Runs portolan in the namespace that the test process is in.
pub(crate) fn portolan(args: &[&str]) -> Run {
    let output = Command::new(PROGRAM).args(args).output().expect("portolan");
    Run::of(&args.join(" "), &output)
}

/// Runs portolan inside a namespace.
pub(crate) fn portolan_in(namespace: &Namespace, args: &[&str]) -> Run {
    Run::of(&args.join(" "), &namespace.output(PROGRAM, args))
}

/// What rules look like: every traffic test runs in a binary of its own for each mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Iptables,
    Nftables,
}

impl Mode {
    /// The mode under test.
    pub(crate) fn tested() -> Self {
        match env!("CARGO_CRATE_NAME").rsplit_once('_') {
            Some((_, "nftables" | "userspace")) => Self::Nftables,
            _ => Self::Iptables,
        }
    }

    /// What is expected in this mode where the two differ, as kube-proxy's do.
    pub(crate) fn expects<T>(iptables: T, nftables: T) -> T {
        match Self::tested() {
            Self::Iptables => iptables,
            Self::Nftables => nftables,
        }
    }

    /// As `--mode` takes it in this test binary.
    fn flag(self) -> &'static str {
        if is_userspace_tested() {
            "userspace"
        } else {
            self.name()
        }
    }

    /// As `--mode` takes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Iptables => "iptables",
            Self::Nftables => "nftables",
        }
    }
}

impl Testbed {
    /// Writes the services to a file of this test.
    pub(crate) fn write(&self, services: &[Service]) -> PathBuf {
        let path = self.directory.path().join("services.yaml");
        fs::write(&path, manifests(services)).expect("write manifest");
        path
    }

    /// Runs a verb on the node with these services.
    pub(crate) fn verb(&self, verb: &str, services: &[Service], more: &[&str]) -> Run {
        self.verb_on(verb, &self.write(services), more)
    }

    /// Runs a verb on the node with a manifest file.
    pub(crate) fn verb_on(&self, verb: &str, manifest: &Path, more: &[&str]) -> Run {
        self.verb_in(Mode::tested(), verb, manifest, more)
    }

    /// The same in another mode than that under test.
    pub(crate) fn verb_in(&self, mode: Mode, verb: &str, manifest: &Path, more: &[&str]) -> Run {
        let output = self
            .node
            .namespace
            .enter(|| self.command_in(mode, verb, manifest, more).output());
        Run::of(
            &format!("{verb} {}", more.join(" ")),
            &output.expect("portolan"),
        )
    }

    /// The command for a verb on a manifest, with the settings of the testbed.
    pub(crate) fn command(&self, verb: &str, manifest: &Path, more: &[&str]) -> Command {
        self.command_in(Mode::tested(), verb, manifest, more)
    }

    fn command_in(&self, mode: Mode, verb: &str, manifest: &Path, more: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg(verb).arg("-f").arg(manifest);
        command.args([
            "--mode",
            mode.flag(),
            "--node-name",
            "n0",
            "--cluster-cidr",
            CLUSTER_CIDR,
        ]);
        command.args(["--service-cidr", SERVICE_CIDR]);
        command
            .arg("--state-dir")
            .arg(self.directory.path().join("state"));
        command.args(more);
        command
    }

    /// `portolan apply` on the node, which must succeed.
    #[track_caller]
    pub(crate) fn apply(&self, services: &[Service]) -> Run {
        self.apply_with(services, &[])
    }

    /// `portolan apply` on the node with more flags, which must succeed. In test binaries named
    /// `*_run_*`, `portolan run` does it.
    #[track_caller]
    pub(crate) fn apply_with(&self, services: &[Service], more: &[&str]) -> Run {
        let run = if is_agent_tested() {
            self.follow(services, more)
        } else {
            self.verb("apply", services, more).exits(0)
        };
        if let Some(command) = std::env::var_os(SPOIL) {
            self.spoil(&command);
        }
        run
    }

    fn spoil(&self, command: &OsString) {
        let command = command.to_str().expect("text");
        for family in Family::BOTH {
            let (save, restore) = (family.program("-save"), family.program("-restore"));
            let pipe = format!("set -o pipefail; {save} | {command} | {restore}");
            self.node.namespace.run("bash", &["-c", &pipe]);
        }
    }
}

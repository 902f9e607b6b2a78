//! The cases: what is run, in which order, on which state of the kernel.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sched::{CloneFlags, unshare};
use serde::Serialize;

use crate::Settings;
use crate::manifests::{self, Shape};
use crate::measure::{Usage, measure};

/// No case of portolan's takes this long; one that does is broken.
const PORTOLAN_LIMIT: Duration = Duration::from_secs(600);
/// A Service range for more Services than the default one holds.
const LARGE_RANGE: &str = "10.224.0.0/12";
/// How many Services the default range holds, with room to spare.
const DEFAULT_RANGE_HOLDS: u32 = 16_000;

/// What is measured; the order is the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Case {
    ApplyCold,
    ApplyAgain,
    ApplyOneEndpoint,
    IptablesRestore,
    /// As kube-proxy calls it, which keeps what is there.
    IptablesRestoreNoflush,
}

impl Case {
    pub(crate) const ALL: [Self; 5] = [
        Self::ApplyCold,
        Self::ApplyAgain,
        Self::ApplyOneEndpoint,
        Self::IptablesRestore,
        Self::IptablesRestoreNoflush,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::ApplyCold => "apply, empty kernel",
            Self::ApplyAgain => "apply, nothing changed",
            Self::ApplyOneEndpoint => "apply, one endpoint changed",
            Self::IptablesRestore => "iptables-restore",
            Self::IptablesRestoreNoflush => "iptables-restore --noflush",
        }
    }
}

/// All runs of one case at one size.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) case: Case,
    pub(crate) services: u32,
    pub(crate) endpoints: u32,
    /// Lines `-A` of the ruleset.
    pub(crate) rules: usize,
    pub(crate) runs: Vec<Usage>,
}

/// Runs everything.
pub(crate) fn run(settings: &Settings) -> anyhow::Result<Vec<Measured>> {
    let mut results = Vec::new();
    for services in &settings.sizes {
        let bench = Bench::prepare(settings, *services)?;
        bench.run(&mut results)?;
    }
    Ok(results)
}

/// One size, with its files.
struct Bench<'a> {
    settings: &'a Settings,
    services: u32,
    portolan: PathBuf,
    home: tempfile::TempDir,
    rules: usize,
}

impl<'a> Bench<'a> {
    fn prepare(settings: &'a Settings, services: u32) -> anyhow::Result<Self> {
        let built = PathBuf::from(env!("CARGO_BIN_EXE_portolan"));
        let mut bench = Self {
            settings,
            services,
            portolan: settings.portolan.clone().unwrap_or(built),
            home: tempfile::tempdir().context("cannot make a directory for manifests")?,
            rules: 0,
        };
        progress(&format!("{services} services: writing manifests"));
        for (name, changed) in [("base.yaml", false), ("changed.yaml", true)] {
            let shape = Shape {
                services,
                endpoints: settings.endpoints,
                changed,
            };
            let file = File::create(bench.file(name))?;
            manifests::write(shape, BufWriter::new(file))?;
        }
        bench.rules = bench.render()?;
        Ok(bench)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes the rules as text and counts them.
    fn render(&self) -> anyhow::Result<usize> {
        let path = self.file("rules.txt");
        let status = Command::new(&self.portolan)
            .args(self.arguments("render", "base.yaml", "render-state"))
            .args(["-o", "iptables-save", "--family", "ip"])
            // iptables-restore makes no nfacct objects; two of the rules are without their match.
            .arg("--without-nfacct")
            .stdout(File::create(&path)?)
            .status()
            .with_context(|| format!("cannot start {}", self.portolan.display()))?;
        if !status.success() {
            bail!("portolan render ended with {status}");
        }
        let text = fs::read_to_string(&path)?;
        Ok(text.lines().filter(|line| line.starts_with("-A ")).count())
    }

    fn arguments(&self, verb: &str, manifest: &str, state: &str) -> Vec<std::ffi::OsString> {
        let mut arguments: Vec<std::ffi::OsString> = vec![
            verb.into(),
            "-f".into(),
            self.file(manifest).into(),
            "--state-dir".into(),
            self.file(state).into(),
        ];
        let fixed = "--mode iptables --node-name n0 --cluster-cidr 10.233.64.0/18";
        arguments.extend(fixed.split(' ').map(Into::into));
        if self.services > DEFAULT_RANGE_HOLDS {
            arguments.extend(["--service-cidr", LARGE_RANGE].map(Into::into));
        }
        arguments
    }

    fn run(&self, results: &mut Vec<Measured>) -> anyhow::Result<()> {
        let mut measured = Case::ALL.map(|case| Measured {
            case,
            services: self.services,
            endpoints: self.settings.endpoints,
            rules: self.rules,
            runs: Vec::new(),
        });
        for run in 0..self.settings.runs {
            for (case, measured) in Case::ALL.into_iter().zip(&mut measured) {
                // What was stopped once would be stopped again.
                if measured.runs.iter().any(|run| run.stopped) {
                    continue;
                }
                progress(&format!(
                    "{} services: {}, run {} of {}",
                    self.services,
                    case.title(),
                    run + 1,
                    self.settings.runs
                ));
                measured.runs.push(self.one(case, run)?);
            }
        }
        progress("");
        results.extend(measured);
        Ok(())
    }

    /// One run of one case. The three of `apply` follow one another in one namespace.
    fn one(&self, case: Case, run: usize) -> anyhow::Result<Usage> {
        let state = format!("state-{run}");
        match case {
            Case::ApplyCold => {
                fresh_namespace()?;
                self.apply("base.yaml", &state)
            }
            Case::ApplyAgain => self.apply("base.yaml", &state),
            Case::ApplyOneEndpoint => self.apply("changed.yaml", &state),
            Case::IptablesRestore => self.restore(&["iptables-restore"]),
            Case::IptablesRestoreNoflush => self.restore(&["iptables-restore", "--noflush"]),
        }
    }

    fn apply(&self, manifest: &str, state: &str) -> anyhow::Result<Usage> {
        let mut command = vec![self.portolan.as_os_str().to_owned()];
        command.extend(self.arguments("apply", manifest, state));
        let command: Vec<&OsStr> = command.iter().map(AsRef::as_ref).collect();
        measure(&command, None::<&Path>, PORTOLAN_LIMIT)
    }

    /// Loads the rules as text into an empty kernel.
    fn restore(&self, command: &[&str]) -> anyhow::Result<Usage> {
        fresh_namespace()?;
        let limit = Duration::from_secs(self.settings.limit);
        let command: Vec<&OsStr> = command.iter().map(OsStr::new).collect();
        measure(&command, Some(&self.file("rules.txt")), limit)
    }
}

/// Moves this process, and so the commands it starts, into a new network namespace. It goes away
/// with the process; the one before goes away now.
fn fresh_namespace() -> anyhow::Result<()> {
    // The kernel frees a namespace's rules in the background, which would be charged to nobody and
    // slow down the next run. Emptied first, little is left for that.
    static INSIDE: AtomicBool = AtomicBool::new(false);
    if INSIDE.load(Ordering::Relaxed) {
        // Only the next figures suffer if it fails.
        let _ = Command::new("nft").args(["flush", "ruleset"]).status();
    }
    unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace (not root?)")?;
    INSIDE.store(true, Ordering::Relaxed);
    // The node's address, as the manifests have it; no packet is sent, so loopback serves.
    for words in ["link set lo up", "address add 192.168.10.100/24 dev lo"] {
        let status = Command::new("ip").args(words.split(' ')).status();
        if !status.context("cannot start ip")?.success() {
            bail!("ip {words} failed");
        }
    }
    thread::sleep(Duration::from_millis(300));
    Ok(())
}

/// Shows on a terminal what is being done, in one line.
fn progress(text: &str) {
    let mut out = std::io::stderr();
    if out.is_terminal() {
        // Only decoration: a terminal that is gone is no reason to stop.
        let _ = write!(out, "\r\x1b[K{text}").and_then(|()| out.flush());
    }
}

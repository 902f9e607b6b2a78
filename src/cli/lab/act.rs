//! Verbs that change a lab and say what was done.

use std::io::{self, Write};

use clap::ValueEnum;

use super::{Exit, Failure, Name, failure, up};
use crate::config::Mode;
use crate::lab::verbs::PodVerb;
use crate::lab::{LabError, down, place};

/// Arguments of `lab down`.
#[derive(clap::Args, Debug)]
pub(super) struct DownArgs {
    #[command(flatten)]
    name: Name,
}

impl DownArgs {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let removed = down::down(&self.name.name).map_err(failure)?;
        let name = &self.name.name;
        let line = match removed {
            true => format!("lab {name} is removed"),
            false => format!("no lab {name} stands: there is nothing to remove"),
        };
        told(Ok(vec![line]))
    }
}

/// Arguments of `lab scale`.
#[derive(clap::Args, Debug)]
pub(super) struct ScaleArgs {
    #[command(flatten)]
    name: Name,
    /// What: deploy/NAME, sts/NAME, rs/NAME
    target: String,
    /// How many pods it is to have
    replicas: u32,
}

impl ScaleArgs {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        told(self.name.open()?.scale(&self.target, self.replicas))
    }
}

/// Arguments of `lab fail`.
#[derive(clap::Args, Debug)]
pub(super) struct FailArgs {
    #[command(flatten)]
    name: Name,
    /// Which node
    node: String,
}

impl FailArgs {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        told(self.name.open()?.fail(&self.node))
    }
}

/// Arguments of `lab heal`.
#[derive(clap::Args, Debug)]
pub(super) struct HealArgs {
    #[command(flatten)]
    name: Name,
    /// Which node [default: all]
    node: Option<String>,
}

impl HealArgs {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        told(self.name.open()?.heal(self.node.as_deref()))
    }
}

/// What to do to a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Do {
    /// Ready: it gets new connections
    Ready,
    /// Not ready: it stays, and gets none
    Unready,
    /// Terminating: it is on its way out, and takes as long as you like
    Terminate,
    /// Gone, and replaced if something wants it
    Delete,
}

/// Arguments of `lab pod`.
#[derive(clap::Args, Debug)]
pub(super) struct PodArgs {
    #[command(flatten)]
    name: Name,
    /// What to do
    #[arg(value_enum)]
    verb: Do,
    /// To which pod
    pod: String,
}

impl PodArgs {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let verb = match self.verb {
            Do::Ready => PodVerb::Ready,
            Do::Unready => PodVerb::Unready,
            Do::Terminate => PodVerb::Terminate,
            Do::Delete => PodVerb::Delete,
        };
        told(self.name.open()?.pod_verb(&self.pod, verb))
    }
}

/// Arguments of `lab mode`.
#[derive(clap::Args, Debug)]
pub(super) struct ModeArgs {
    #[command(flatten)]
    name: Name,
    /// Back end of the agents
    #[arg(value_enum)]
    mode: Mode,
}

impl ModeArgs {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        told(self.name.open()?.set_mode(&up::mode_name(self.mode)))
    }
}

/// Arguments of `lab logs`.
#[derive(clap::Args, Debug)]
pub(super) struct LogsArgs {
    #[command(flatten)]
    name: Name,
    /// Which node
    node: String,
}

impl LogsArgs {
    pub(super) fn run(&self) -> Result<Exit, Failure> {
        let mut log = self.name.open()?.log(&self.node).map_err(failure)?;
        io::copy(&mut log, &mut io::stdout().lock())?;
        Ok(Exit::Done)
    }
}

/// `lab list`.
pub(super) fn list() -> Result<Exit, Failure> {
    let mut out = io::stdout().lock();
    for name in place::all() {
        writeln!(out, "{name}")?;
    }
    Ok(Exit::Done)
}

fn told(done: Result<Vec<String>, LabError>) -> Result<Exit, Failure> {
    let mut out = io::stdout().lock();
    for line in done.map_err(failure)? {
        writeln!(out, "{line}")?;
    }
    Ok(Exit::Done)
}

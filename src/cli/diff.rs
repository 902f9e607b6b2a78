//! `portolan diff`: what apply would change, rule by rule.

use std::io::Write;

use clap::ValueEnum;

use super::args::{InputArgs, NetnsArgs};
use super::session::{self, Session, Verb};
use super::{Exit, Failure, report};
use crate::agent::backend::{Backend, Outcome};
use crate::agent::cluster::StateAccess;
use crate::config::ProxyFlags;

/// `-o` of `diff`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A unified diff of what iptables-save or nft shows
    Text,
    /// The services that change, one a line
    Name,
    /// For machines
    Json,
}

/// Arguments of `diff`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    input: InputArgs,

    #[command(flatten)]
    netns: NetnsArgs,

    /// Also show what --take-over would remove
    #[arg(long)]
    take_over: bool,

    /// Output format
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,

    #[command(flatten)]
    rules: ProxyFlags,
}

/// Prints the difference to standard output.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    session::run_in_mode(args, args.rules.mode, &args.netns)
}

impl Verb for Args {
    fn run<B: Backend>(&self) -> Result<Exit, Failure> {
        diff::<B>(self)
    }
}

fn diff<B: Backend>(args: &Args) -> Result<Exit, Failure> {
    let mut session = Session::<B>::open(&args.input, &args.rules, StateAccess::ReadOnly)?;
    let comparison = session.compare(args.take_over)?;
    let missing = session.missing_prerequisites()?;
    if comparison.is_equal() && missing.is_empty() {
        return Ok(Exit::Done);
    }
    let changes = session.changes(&comparison)?;
    let mut out = anstream::stdout().lock();
    match args.output {
        Format::Text => {
            for family in &changes {
                report::unified(&family.diff, &mut out)?;
            }
            for line in comparison.removals() {
                writeln!(out, "-{line}")?;
            }
            for setting in &missing {
                writeln!(out, "+{setting}")?;
            }
        }
        Format::Name => session.show_services(&changes, &mut out)?,
        Format::Json => {
            let changes: Vec<_> = changes.iter().map(|family| &family.json).collect();
            serde_json::to_writer_pretty(&mut out, &changes)?;
            writeln!(out)?;
        }
    }
    Ok(Exit::Different)
}

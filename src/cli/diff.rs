//! `portolan diff`: what apply would change, rule by rule.

use std::io::Write;

use clap::ValueEnum;

use super::args::{InputArgs, NetnsArgs};
use super::session::{self, Session};
use super::{Exit, Failure, report};
use crate::agent::cluster::StateAccess;
use crate::config::ProxyFlags;
use crate::plan::json;

/// `-o` of `diff`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A unified diff of what iptables-save shows
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

    /// Output format
    #[arg(short, long, value_enum, default_value = "text")]
    output: Format,

    #[command(flatten)]
    rules: ProxyFlags,
}

/// Prints the difference to standard output.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    session::in_netns(&args.netns, || diff(args))
}

fn diff(args: &Args) -> Result<Exit, Failure> {
    let mut session = Session::open(&args.input, &args.rules, StateAccess::ReadOnly)?;
    let comparison = session.compare()?;
    let missing = session.missing_prerequisites()?;
    if comparison.is_equal() && missing.is_empty() {
        return Ok(Exit::Done);
    }
    let changes = session.changes(&comparison)?;
    let mut out = anstream::stdout().lock();
    match args.output {
        Format::Text => {
            report::unified(&changes, &mut out)?;
            for setting in &missing {
                writeln!(out, "+{setting}")?;
            }
        }
        Format::Name => session.show_services(&changes, &mut out)?,
        Format::Json => {
            let changes: Vec<_> = changes.iter().map(json::changes).collect();
            serde_json::to_writer_pretty(&mut out, &changes)?;
            writeln!(out)?;
        }
    }
    Ok(Exit::Different)
}

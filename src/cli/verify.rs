//! `portolan verify`: is the kernel exactly as it should be?

use std::io::Write;

use super::args::{InputArgs, NetnsArgs};
use super::session::{self, Session, Verb};
use super::{Exit, Failure, report};
use crate::agent::backend::{Backend, Outcome};
use crate::agent::cluster::StateAccess;
use crate::config::ProxyFlags;

/// Arguments of `verify`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    input: InputArgs,

    #[command(flatten)]
    netns: NetnsArgs,

    #[command(flatten)]
    rules: ProxyFlags,
}

/// Prints each deviation to standard output.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    session::run_in_mode(args, args.rules.mode, &args.netns)
}

impl Verb for Args {
    fn run<B: Backend>(&self) -> Result<Exit, Failure> {
        verify::<B>(self)
    }
}

fn verify<B: Backend>(args: &Args) -> Result<Exit, Failure> {
    let mut session = Session::<B>::open(&args.input, &args.rules, StateAccess::ReadOnly)?;
    let comparison = session.compare(false)?;
    report::competitors(&comparison.competitors())?;
    let missing = session.missing_prerequisites()?;
    let deviations = session.deviations(&comparison)?;
    let mut out = std::io::stdout().lock();
    for deviation in &deviations {
        writeln!(out, "{deviation}")?;
    }
    for line in comparison.removals() {
        writeln!(out, "should not be there: {line}")?;
    }
    for setting in &missing {
        writeln!(out, "not set: {setting}")?;
    }
    if deviations.is_empty() && missing.is_empty() && comparison.is_equal() {
        writeln!(out, "verified: {} as they should be", comparison.holdings())?;
        return Ok(Exit::Done);
    }
    Ok(Exit::Different)
}

//! `portolan verify`: is the kernel exactly as it should be?

use std::io::Write;

use super::args::{InputArgs, NetnsArgs};
use super::session::{self, Session};
use super::{Exit, Failure};
use crate::agent::cluster::StateAccess;
use crate::config::ProxyFlags;
use crate::plan::diff::PresentState;

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
    session::in_netns(&args.netns, || verify(args))
}

fn verify(args: &Args) -> Result<Exit, Failure> {
    let mut session = Session::open(&args.input, &args.rules, StateAccess::ReadOnly)?;
    let comparison = session.compare()?;
    let missing = session.missing_prerequisites()?;
    let deviations = session.deviations(&comparison)?;
    let mut out = std::io::stdout().lock();
    for deviation in &deviations {
        writeln!(out, "{deviation}")?;
    }
    for setting in &missing {
        writeln!(out, "not set: {setting}")?;
    }
    if deviations.is_empty() && missing.is_empty() && comparison.is_equal() {
        let rules: usize = comparison.present.iter().map(PresentState::rules).sum();
        writeln!(out, "verified: {rules} rules as they should be")?;
        return Ok(Exit::Done);
    }
    Ok(Exit::Different)
}

//! `portolan apply`: programs the kernel from manifests, showing what changes first.

use std::io::{self, Write};
use std::time::Instant;

use super::args::{InputArgs, NetnsArgs};
use super::session::{self, Session, Verb};
use super::{Exit, Failure, report};
use crate::agent::backend::{Backend, Outcome};
use crate::agent::cluster::StateAccess;
use crate::agent::sync::Done;
use crate::config::ProxyFlags;

/// Arguments of `apply`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    input: InputArgs,

    #[command(flatten)]
    netns: NetnsArgs,

    /// Show what would change and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Replace the rules of a kube-proxy, in the same transaction
    #[arg(long)]
    take_over: bool,

    /// Say nothing but errors
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    rules: ProxyFlags,
}

/// Brings the kernel to the state that the manifests describe.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    session::run_in_mode(args, args.rules.mode, &args.netns)
}

impl Verb for Args {
    fn run<B: Backend>(&self) -> Result<Exit, Failure> {
        apply::<B>(self)
    }
}

fn apply<B: Backend>(args: &Args) -> Result<Exit, Failure> {
    let access = if args.dry_run {
        StateAccess::ReadOnly
    } else {
        StateAccess::Keep
    };
    let mut session = Session::<B>::open(&args.input, &args.rules, access)?;
    let started = Instant::now();
    let spinner = report::spinner("comparing with the kernel");
    let comparison = session.compare(args.take_over)?;
    spinner.finish_and_clear();
    report::competitors(&comparison.competitors())?;
    let missing = session.missing_prerequisites()?;
    let equal = comparison.is_equal() && missing.is_empty();
    if !args.quiet {
        session.show(&comparison, &missing, &mut anstream::stdout().lock())?;
    }
    if args.dry_run {
        return Ok(Exit::Done);
    }
    let spinner = report::spinner("committing");
    let (done, changed) = session.commit(comparison)?;
    spinner.finish_and_clear();
    // What leads where it should is left alone; if no rule changed, all of it does.
    if !equal {
        session.remove_stale_flows(args.quiet)?;
    }
    if !args.quiet {
        last_line(equal && changed.is_empty(), done, started)?;
    }
    Ok(Exit::Done)
}

fn last_line(equal: bool, done: Done, started: Instant) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if equal {
        return writeln!(out, "nothing to do: the kernel holds exactly this already");
    }
    writeln!(
        out,
        "applied in {} transaction{}: {} messages, {}, {:.1} ms",
        done.transactions,
        if done.transactions == 1 { "" } else { "s" },
        done.messages,
        indicatif::BinaryBytes(done.bytes as u64),
        started.elapsed().as_secs_f64() * 1000.0
    )
}

//! `portolan apply`: programs the kernel from manifests, showing what changes first.

use std::io::{self, Write};
use std::time::Instant;

use super::args::{self, InputArgs, NetnsArgs};
use super::session::{self, Session};
use super::{Exit, Failure, report};
use crate::agent::cluster::{Cluster, StateAccess};
use crate::agent::sync::{Comparison, Done};
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

    /// Say nothing but errors
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    rules: ProxyFlags,
}

/// Brings the kernel to the state that the manifests describe.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    session::in_netns(&args.netns, || apply(args))
}

fn apply(args: &Args) -> Result<Exit, Failure> {
    let config = args::proxy_config(&args.rules)?;
    let socket = session::privileged_socket()?;
    let access = if args.dry_run {
        StateAccess::ReadOnly
    } else {
        StateAccess::Keep
    };
    let cluster = Cluster::load(
        &args.input.manifest_input(),
        &config,
        &args.input.state_dir,
        access,
    )?;
    report::notes(&cluster.notes)?;
    let mut session = Session::open(socket, &cluster, &config)?;
    let started = Instant::now();
    let spinner = report::spinner("comparing with the kernel");
    let comparison = session.compare(&cluster.snapshot)?;
    spinner.finish_and_clear();
    let missing = session.missing_prerequisites()?;
    let equal = comparison.is_equal() && missing.is_empty();
    if !args.quiet {
        session.show(&cluster.snapshot, &comparison, &missing)?;
    }
    if args.dry_run {
        return Ok(Exit::Done);
    }
    cluster.keep_allocations()?;
    let (changed, done) = commit(&mut session, &cluster, comparison)?;
    if !args.quiet {
        finish_line(equal && changed.is_empty(), done, started)?;
    }
    Ok(Exit::Done)
}

/// Counters and settings first: a rule that names a counter needs it.
fn commit(
    session: &mut Session,
    cluster: &Cluster,
    comparison: Comparison,
) -> Result<(Vec<String>, Done), Failure> {
    let changed = session.ensure_prerequisites()?;
    let spinner = report::spinner("committing");
    let done = session.commit(&cluster.snapshot, comparison)?;
    spinner.finish_and_clear();
    Ok((changed, done))
}

fn finish_line(equal: bool, done: Done, started: Instant) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if equal {
        return writeln!(out, "nothing to do: the kernel holds exactly this already");
    }
    writeln!(
        out,
        "applied in {}: {} messages, {}, {:.1} ms",
        count(done.transactions, "transaction"),
        done.messages,
        bytes(done.bytes),
        started.elapsed().as_secs_f64() * 1000.0
    )
}

fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

fn bytes(n: usize) -> String {
    indicatif::BinaryBytes(n as u64).to_string()
}

//! `portolan cleanup`: removes what portolan or kube-proxy wrote, and nothing else.

use std::io::{self, Write};

use super::args::NetnsArgs;
use super::session;
use super::{Exit, Failure, report};
use crate::agent::program::fetch;
use crate::agent::sync;
use crate::kernel::Socket;
use crate::model::IpFamily;
use crate::plan::diff::{Changes, NoRuleset, changes};

/// Arguments of `cleanup`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    netns: NetnsArgs,

    /// List what would be removed and remove nothing
    #[arg(long)]
    dry_run: bool,
}

/// Lists what is ours to standard output and removes it.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    session::in_netns(&args.netns, || cleanup(args))
}

fn cleanup(args: &Args) -> Result<Exit, Failure> {
    let mut socket = session::privileged_socket()?;
    let comparison = sync::compare_for_cleanup(&mut socket, &IpFamily::ALL)?;
    if comparison.is_equal() {
        writeln!(io::stdout(), "nothing to remove")?;
        return Ok(Exit::Done);
    }
    let changes = listing(&mut socket, &comparison)?;
    let mut out = anstream::stdout().lock();
    report::unified(&changes, &mut out)?;
    if args.dry_run {
        return Ok(Exit::Done);
    }
    let counts: Vec<String> = comparison
        .plans
        .iter()
        .filter(|plan| !plan.is_empty())
        .map(|plan| format!("{}: {}", plan.family(), plan.counts()))
        .collect();
    sync::clean_up(&mut socket, comparison)?;
    writeln!(out, "removed: {}", counts.join("; "))?;
    Ok(Exit::Done)
}

fn listing(
    socket: &mut Socket,
    comparison: &sync::Comparison,
) -> Result<Vec<Changes>, crate::kernel::nft::ReadError> {
    comparison
        .plans
        .iter()
        .map(|plan| {
            changes(
                plan,
                &NoRuleset(plan.family()),
                &mut fetch(socket, plan.family()),
            )
        })
        .collect()
}

//! `portolan cleanup`: removes what portolan or kube-proxy wrote, and nothing else.

use std::io::{self, Write};

use super::args::NetnsArgs;
use super::session;
use super::{Exit, Failure, report};
use crate::agent::cleanup::Removal;
use crate::agent::ipsets::KubeProxySets;
use crate::agent::iptables::fetch;
use crate::agent::ipvs::cleanup::IpvsRemoval;
use crate::plan::diff::{NoRuleset, changes};

/// Arguments of `cleanup`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    netns: NetnsArgs,

    /// List what would be removed and remove nothing
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    /// Removal without asking, as kube-proxy's `--cleanup` does it.
    pub(super) fn of_netns(netns: NetnsArgs) -> Self {
        Self {
            netns,
            dry_run: false,
        }
    }
}

/// Lists what is ours to standard output and removes it.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    session::in_netns(&args.netns, || cleanup(args))
}

fn cleanup(args: &Args) -> Result<Exit, Failure> {
    let mut socket = session::privileged_socket()?;
    let removal = Removal::find(&mut socket)?;
    let ipvs = IpvsRemoval::find(&mut socket)?;
    let ipsets = KubeProxySets::find();
    if removal.is_empty() && ipvs.is_empty() && ipsets.is_empty() {
        writeln!(io::stdout(), "nothing to remove")?;
        return Ok(Exit::Done);
    }
    let mut out = anstream::stdout().lock();
    for plan in &removal.plans {
        let nothing = NoRuleset(plan.family());
        let changes = changes(plan, &nothing, &mut fetch(&mut socket, plan.family()))?;
        report::unified(&changes.to_string(), &mut out)?;
    }
    for line in removal.tables.removals() {
        report::unified(&format!("-{line}"), &mut out)?;
    }
    for line in ipvs.lines() {
        report::unified(&line, &mut out)?;
    }
    for name in ipsets.names() {
        report::unified(&format!("-ipset {name}"), &mut out)?;
    }
    if args.dry_run {
        return Ok(Exit::Done);
    }
    let mut summary = removal.summary();
    summary.extend(ipvs.summary());
    summary.extend(ipsets.summary());
    // The table says which virtual servers are ours: it goes when they are gone.
    ipvs.commit()?;
    removal.commit(&mut socket)?;
    ipsets.destroy();
    writeln!(out, "removed: {}", summary.join("; "))?;
    Ok(Exit::Done)
}

//! The command line: one file a verb, parsing kept apart from doing.
//!
//! Owns what people type and read: flags, tables, messages, exit codes. Must not touch netlink
//! itself; it asks [`crate::agent`] to.

mod announce;
mod apply;
mod args;
mod cleanup;
mod completions;
mod diff;
mod dns;
mod exit;
mod get;
mod haproxy;
mod kube_proxy;
mod lab;
mod man;
mod origin;
mod port_forward;
mod render;
mod report;
mod run;
mod session;
mod table;
mod userspace;
mod verify;

use std::io::IsTerminal;

use clap::{Parser, Subcommand};

pub use exit::{Exit, Failure};
pub use kube_proxy::parse;

use exit::finish;
use run::LogFormat;

/// kube-proxy's whole job on a Linux node: Services into kernel rules, straight over netlink.
#[derive(Parser, Debug)]
#[command(
    name = "portolan",
    version,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 done or no difference, 1 failed, 2 bad usage or bad input (nothing \
                  was touched), 3 a difference was found (diff, verify)."
)]
pub struct Cli {
    /// Say more on standard error (-v: what is done, -vv: each step)
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Program the kernel from manifests, showing what changes
    Apply(apply::Args),
    /// Keep the kernel and the manifests together: follow changes, repair damage, serve metrics
    Run(Box<run::Args>),
    /// Show what apply would change (exit code 3 if anything)
    Diff(diff::Args),
    /// Print the rules of manifests without touching the kernel (needs no root)
    Render(render::Args),
    /// Compare the kernel's rules with what they should be, down to every expression
    Verify(verify::Args),
    /// Remove everything portolan or kube-proxy wrote, and nothing else
    Cleanup(cleanup::Args),
    /// Answer DNS for the names of Services, or ask for one
    Dns(Box<dns::Args>),
    /// Show services, endpoints, nodes or DNS records as tables
    Get(get::Args),
    /// Forward ports of this machine to a Service or a Pod
    PortForward(port_forward::Args),
    /// Write the configuration of an HAProxy in front of the nodes
    Haproxy(haproxy::Args),
    /// Make a cluster of network namespaces on this machine, and try Services in it
    Lab(Box<lab::Args>),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Print the manual page in roff
    Man(man::Args),
}

/// Runs a parsed command line to its end and reports failures on standard error.
#[must_use]
pub fn run(cli: Cli) -> Exit {
    init_logging(&cli);
    finish(match cli.command {
        Command::Apply(args) => apply::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Render(args) => render::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Cleanup(args) => cleanup::run(&args),
        Command::Dns(args) => dns::run(&args),
        Command::Get(args) => get::run(&args),
        Command::PortForward(args) => port_forward::run(&args),
        Command::Haproxy(args) => haproxy::run(&args),
        Command::Lab(args) => lab::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    })
}

/// Logs go to standard error; `RUST_LOG` beats `-v`. An agent, whose output is its log, says one
/// level more than the other verbs.
fn init_logging(cli: &Cli) {
    let (more, format) = match &cli.command {
        Command::Run(args) => (1, args.log_format()),
        Command::Dns(args) => match args.log_format() {
            Some(format) => (1, format),
            None => (0, LogFormat::Text),
        },
        _ => (0, LogFormat::Text),
    };
    let level = match cli.verbose.saturating_add(more) {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        // Libraries tell of every message and every connection; that is for the last level.
        let libraries = if level == "trace" { "debug" } else { "warn" };
        let name = env!("CARGO_PKG_NAME");
        tracing_subscriber::EnvFilter::new(format!("{libraries},{name}={level},mnl=warn"))
    });
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    // A second call (in tests) finds a subscriber in place, which is as good.
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}

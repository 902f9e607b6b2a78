//! `portolan dns`: names of Services answered, and `portolan dns query`: asking for them.

mod flags;
mod query;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use clap::Subcommand;

pub(super) use flags::{DnsFlags, PORT, ZoneFlags};

use super::args::{self, InputArgs, NetnsArgs};
use super::run::{LogFormat, bind_address};
use super::{Exit, Failure};
use crate::agent::run::RunError;
use crate::agent::run::names_only::{self, NamesError, NamesOptions};
use crate::config::ProxyFlags;

/// CoreDNS' port for metrics.
const METRICS_PORT: u16 = 9153;

/// Arguments of `dns`.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,

    #[command(flatten)]
    serve: Serve,
}

/// What to do but serve.
#[derive(Subcommand, Debug)]
enum Verb {
    /// Ask for a name, and say which Service or endpoint each record comes from
    Query(query::Args),
}

/// Arguments of serving.
#[derive(clap::Args, Debug)]
struct Serve {
    #[command(flatten)]
    input: InputArgs,

    #[command(flatten)]
    netns: NetnsArgs,

    #[command(flatten)]
    dns: DnsFlags,

    /// Serve metrics at this IP address and port; "" for nowhere
    #[arg(long, value_name = "IP[:PORT]", default_value = "127.0.0.1:9153")]
    metrics_bind_address: String,

    /// How log lines are written
    #[arg(
        long,
        visible_alias = "logging-format",
        value_enum,
        default_value = "text"
    )]
    log_format: LogFormat,

    #[command(flatten)]
    rules: ProxyFlags,
}

impl Args {
    /// How log lines are to be written, if this stays and logs.
    pub(super) fn log_format(&self) -> Option<LogFormat> {
        self.verb.is_none().then_some(self.serve.log_format)
    }
}

/// Serves, or asks.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.verb {
        Some(Verb::Query(args)) => query::run(args),
        None => serve(&args.serve),
    }
}

fn serve(args: &Serve) -> Result<Exit, Failure> {
    let config = args::proxy_config(&args.rules)?;
    let metrics_address = bind_address(&args.metrics_bind_address, METRICS_PORT)
        .map_err(|reason| anyhow::anyhow!("--metrics-bind-address: {reason}"))
        .map_err(Failure::bad_input)?;
    let everywhere = [
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    ];
    let mut dns = args.dns.options()?;
    if dns.server.listen.is_empty() {
        let all = everywhere.map(|address| SocketAddr::new(address, flags::PORT));
        dns.server.listen = all.into();
    }
    let options = NamesOptions {
        config,
        input: args.input.manifest_input(),
        state_dir: args.input.state_dir.clone(),
        netns: args.netns.netns(),
        dns,
        metrics_address,
    };
    match names_only::run(&options) {
        Ok(()) => Ok(Exit::Done),
        Err(NamesError::Run(RunError::Load(error))) => Err(args::load_failure(error)),
        Err(error) => Err(error.into()),
    }
}

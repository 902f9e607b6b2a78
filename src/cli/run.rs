//! `portolan run`: the agent, on manifests or on a cluster.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;

use super::announce::AnnounceFlags;
use super::args::{self, NetnsArgs};
use super::dns::{DnsFlags, PORT as DNS_PORT};
use super::kube_proxy::{AcceptedFlags, File, Start};
use super::origin::OriginArgs;
use super::userspace::UserspaceFlags;
use super::{Exit, Failure, cleanup};
use crate::agent::iptables::live::LiveSync as LiveIptables;
use crate::agent::ipvs::live::LiveSync as LiveIpvs;
use crate::agent::nftables::live::LiveSync as LiveNftables;
use crate::agent::run::programmer::{ProgramError, Programmer};
use crate::agent::run::{self, Origin, Periods, RunError, RunOptions};
use crate::agent::userspace::UserspaceOptions;
use crate::agent::userspace::live::LiveSync as LiveUserspace;
use crate::config::{Mode, NodeFlags, ProxyConfig, ProxyFlags, duration};
use crate::dns::service::DnsOptions;
use crate::kernel::Socket;
use crate::kernel::nft::NftKernel;

/// kube-proxy's port for metrics.
const METRICS_PORT: u16 = 10249;
/// kube-proxy's port for health.
const HEALTHZ_PORT: u16 = 10256;

/// `--log-format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Arguments of `run`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    origin: OriginArgs,

    #[command(flatten)]
    netns: NetnsArgs,

    /// Replace the rules of a kube-proxy, in the transaction that brings the first load; implied by
    /// --config
    #[arg(long)]
    take_over: bool,

    /// Remove what portolan wrote when it stops; otherwise rules stay in force
    #[arg(long)]
    cleanup_on_exit: bool,

    #[command(flatten)]
    start: Start,

    #[command(flatten)]
    agent: AgentFlags,

    #[command(flatten)]
    userspace: UserspaceFlags,

    #[command(flatten)]
    node: NodeFlags,

    #[command(flatten)]
    accepted: AcceptedFlags,

    #[command(flatten)]
    dns: DnsFlags,

    /// Answer cluster DNS at its service's address on this node, past connection tracking;
    /// repeatable, one a family. Other nodes, and this one while the agent is down, use the
    /// service's endpoints [default if given without an address: 10.233.0.3, kubespray's]
    #[arg(
        long,
        value_name = "IP",
        num_args = 0..=1,
        default_missing_value = "10.233.0.3",
        help_heading = "DNS"
    )]
    dns_node_local: Vec<IpAddr>,

    #[command(flatten)]
    announce: AnnounceFlags,

    #[command(flatten)]
    rules: ProxyFlags,
}

/// Flags of everything that stays and is watched.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Agent")]
struct AgentFlags {
    /// Serve metrics at this IP address and port; "" for nowhere
    #[arg(long, value_name = "IP[:PORT]", default_value = "127.0.0.1:10249")]
    metrics_bind_address: String,

    /// Serve health at this IP address and port; "" for nowhere
    #[arg(long, value_name = "IP[:PORT]", default_value = "0.0.0.0:10256")]
    healthz_bind_address: String,

    /// Stop if one of these ports is taken, instead of trying again
    #[arg(long)]
    bind_address_hard_fail: bool,

    /// Most time until what failed is tried again, and how often the kernel is checked
    #[arg(
        long,
        visible_alias = "iptables-sync-period",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = duration
    )]
    sync_period: Duration,

    /// Least time between two syncs [default: 1s in iptables mode, 0s in other modes]
    #[arg(
        long,
        visible_alias = "iptables-min-sync-period",
        value_name = "DURATION",
        value_parser = duration
    )]
    min_sync_period: Option<Duration>,

    /// How log lines are written
    #[arg(
        long,
        visible_alias = "logging-format",
        value_enum,
        default_value = "text"
    )]
    log_format: LogFormat,
}

impl Args {
    /// How log lines are to be written.
    pub(super) fn log_format(&self) -> LogFormat {
        self.agent.log_format
    }

    /// kube-proxy's configuration file.
    pub(super) fn config_file(&self) -> Option<&Path> {
        self.start.config.as_deref()
    }

    /// What it said.
    pub(super) fn set_file(&mut self, file: File) {
        self.start.config = Some(file.path.clone());
        self.start.file = Some(file);
    }

    /// Says once what was given and is not needed.
    fn tell_not_needed(&self) {
        let of_file = self.start.file.iter().flat_map(|file| file.notes.clone());
        for note in of_file.chain(self.accepted.not_needed()) {
            tracing::info!("not needed: {note}");
        }
    }
}

/// Keeps the kernel and the manifests together until told to stop.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    if args.start.cleanup {
        return cleanup::run(&cleanup::Args::of_netns(args.netns.clone()));
    }
    let options = options(args)?;
    if let Some(path) = &args.start.write_config_to {
        return write_configuration(path, &options);
    }
    args.tell_not_needed();
    if args.start.init_only {
        run::init(&options)?;
        return Ok(Exit::Done);
    }
    // Whoever gives it kube-proxy's file has it take kube-proxy's place.
    let take_over = args.take_over || args.config_file().is_some();
    let mode = options.config.mode;
    let userspace = args.userspace.options();
    let outcome = run::run(&options, move |config| {
        programmer(mode, config, take_over, userspace)
    });
    match outcome {
        Ok(()) => Ok(Exit::Done),
        Err(RunError::Load(error)) => Err(args::load_failure(error)),
        Err(error) => Err(error.into()),
    }
}

/// Writes the effective configuration as kube-proxy's `--write-config-to` does.
fn write_configuration(path: &Path, options: &RunOptions) -> Result<Exit, Failure> {
    let configuration = run::configz::kube_proxy_configuration(options);
    let text = serde_yaml::to_string(&configuration)?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    tracing::info!("wrote the configuration to {}", path.display());
    Ok(Exit::Done)
}

/// The programmer of a mode, made inside the network namespace.
fn programmer(
    mode: Mode,
    config: &ProxyConfig,
    take_over: bool,
    userspace: UserspaceOptions,
) -> Result<Box<dyn Programmer>, ProgramError> {
    // A user without the right to do any of it learns that first, in one sentence.
    let mut socket = Socket::open().map_err(|error| ProgramError::Other(Box::new(error)))?;
    socket.generation()?;
    Ok(match mode {
        Mode::Nftables => Box::new(LiveNftables::new(socket, config, take_over)?),
        Mode::Iptables => Box::new(LiveIptables::new(socket, config, take_over)?),
        Mode::Ipvs => Box::new(LiveIpvs::new(socket, config, take_over)?),
        Mode::Userspace => Box::new(LiveUserspace::new(socket, config, take_over, userspace)?),
    })
}

/// All flags into one value; all mistakes at once.
fn options(args: &Args) -> Result<RunOptions, Failure> {
    let flags = &args.agent;
    let file = args.start.file.as_ref();
    let mut mistakes = file.map_or_else(Vec::new, |file| file.mistakes.clone());
    let config = args::proxy_config(&args.rules).map_err(|failure| match failure {
        Failure::BadInput(error) | Failure::Failed(error) => mistakes.push(error.to_string()),
    });
    let mut address = |flag: &str, text: &str, port| {
        bind_address(text, port).unwrap_or_else(|reason| {
            mistakes.push(format!("{flag}: {reason}"));
            None
        })
    };
    let accepted = &args.accepted;
    let metrics = accepted.address(&flags.metrics_bind_address, accepted.metrics_port);
    let metrics = address("--metrics-bind-address", &metrics, METRICS_PORT);
    let healthz = accepted.address(&flags.healthz_bind_address, accepted.healthz_port);
    let healthz = address("--healthz-bind-address", &healthz, HEALTHZ_PORT);
    mistakes.extend(accepted.mistake());
    let min_sync = flags.min_sync_period.unwrap_or(match args.rules.mode {
        Mode::Nftables | Mode::Ipvs | Mode::Userspace => Duration::ZERO,
        Mode::Iptables => Duration::from_secs(1).min(flags.sync_period),
    });
    if flags.sync_period.is_zero() {
        mistakes.push("--sync-period: must be longer than 0s".to_owned());
    } else if min_sync > flags.sync_period {
        mistakes.push("--min-sync-period: is longer than --sync-period".to_owned());
    }
    mistakes.extend(node_local_mistake(args.rules.mode, &args.dns_node_local));
    let dns = dns(args).map_err(|failure| match failure {
        Failure::BadInput(error) | Failure::Failed(error) => mistakes.push(error.to_string()),
    });
    let origin = match args.origin.origin() {
        // Nothing is going to be followed.
        Err(_) if args.start.ends_early() => Ok(Origin::nothing()),
        origin => origin.map_err(|mistake| mistakes.push(mistake)),
    };
    let announce = config.as_ref().ok().and_then(|config| {
        let announce = args.announce.options(config, origin.as_ref().ok());
        announce.map_err(|mistake| mistakes.push(mistake)).ok()?
    });
    match (config, origin) {
        (Ok(config), Ok(origin)) if mistakes.is_empty() => Ok(RunOptions {
            config: for_origin(config, &origin),
            origin,
            netns: args.netns.netns(),
            periods: Periods {
                min_sync,
                sync: flags.sync_period,
            },
            metrics_address: metrics,
            healthz_address: healthz,
            bind_hard_fail: flags.bind_address_hard_fail,
            cleanup_on_exit: args.cleanup_on_exit,
            dns: dns.unwrap_or_default(),
            node_dns: args.dns_node_local.clone(),
            announce,
            node: args.node.clone(),
            file: file.map_or_else(|| serde_json::json!({}), |file| file.object.clone()),
            watched: file.map(|file| (file.path.clone(), file.text.clone())),
        }),
        _ => Err(Failure::bad_input(anyhow::anyhow!(worded(&mistakes, file)))),
    }
}

/// Mistakes, a line each; those of the configuration file under its name.
fn worded(mistakes: &[String], file: Option<&File>) -> String {
    let lines = mistakes.iter().flat_map(|mistake| mistake.lines());
    let lines = lines.map(|line| match file {
        Some(file) => file.word(line),
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The API server knows the ranges it allocates from: the default is for manifests.
fn for_origin(mut config: ProxyConfig, origin: &Origin) -> ProxyConfig {
    if matches!(origin, Origin::Kubernetes(_)) {
        config.service_cidrs.clear();
    }
    config
}

/// The name server that is asked for, if any.
fn dns(args: &Args) -> Result<Option<DnsOptions>, Failure> {
    let node_local = &args.dns_node_local;
    if args.dns.dns_listen.is_empty() && node_local.is_empty() {
        return Ok(None);
    }
    let mut options = args.dns.options()?;
    let addresses = node_local.iter().map(|ip| SocketAddr::new(*ip, DNS_PORT));
    options.server.listen.extend(addresses);
    Ok(Some(options))
}

/// Virtual servers of the kernel take packets before a socket of this node could.
fn node_local_mistake(mode: Mode, addresses: &[IpAddr]) -> Option<String> {
    let wrong = addresses
        .iter()
        .find(|ip| ip.is_unspecified() || ip.is_loopback() || ip.is_multicast());
    let possible = matches!(mode, Mode::Nftables | Mode::Iptables);
    match wrong {
        Some(ip) => Some(format!("--dns-node-local: {ip} is no address of a Service")),
        None if possible || addresses.is_empty() => None,
        None => Some("--dns-node-local: only with --mode nftables or iptables".to_owned()),
    }
}

/// An address to serve at, by kube-proxy's rules: `IP:port`, or an IP to which the port is added;
/// nothing for nowhere.
pub(super) fn bind_address(text: &str, port: u16) -> Result<Option<SocketAddr>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let parsed = text
        .parse::<SocketAddr>()
        .or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, port)));
    match parsed {
        Ok(address) if address.port() == 0 => Err(format!("\"{text}\": port 0 is not a port")),
        Ok(address) => Ok(Some(address)),
        Err(_) => Err(format!(
            "\"{text}\" is not an IP address with a port, such as 127.0.0.1:{port}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_to_serve_at_is_read_as_kube_proxy_reads_it() {
        let some = |text: &str| Ok(Some(text.parse().unwrap()));
        assert_eq!(bind_address("", 10256), Ok(None));
        assert_eq!(bind_address("0.0.0.0", 10256), some("0.0.0.0:10256"));
        assert_eq!(bind_address("10.0.0.1:80", 10256), some("10.0.0.1:80"));
        assert_eq!(bind_address("::", 10249), some("[::]:10249"));
        assert_eq!(bind_address("[::1]:9", 10249), some("[::1]:9"));
        for wrong in ["localhost", "127.0.0.1:0", ":10249", "10.0.0.1:99999"] {
            assert!(bind_address(wrong, 10249).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_are_written_as_in_go() {
        let millis = |text| duration(text).map(|duration| duration.as_millis());
        assert_eq!(millis("30s"), Ok(30_000));
        assert_eq!(millis("1m30s"), Ok(90_000));
        assert_eq!(millis("1.5s"), Ok(1500));
        assert_eq!(millis("500ms"), Ok(500));
        assert_eq!(millis("1h"), Ok(3_600_000));
        assert_eq!(millis("0"), Ok(0));
        assert_eq!(millis("0s"), Ok(0));
        for wrong in ["", "30", "s", "1x", "-1s", "1..s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}

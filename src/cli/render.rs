//! `portolan render`: the rules of manifests as text, without root and without a kernel.

use std::io::{self, Write};

use anyhow::anyhow;
use clap::ValueEnum;
use serde_json::json;

use super::args::{self, InputArgs};
use super::{Exit, Failure};
use crate::agent::backend::Backend as _;
use crate::agent::cluster::StateAccess;
use crate::agent::facts::NodeFacts;
use crate::agent::iptables::options::iptables_options;
use crate::agent::ipvs::Ipvs;
use crate::agent::nftables::options::nftables_options;
use crate::agent::node::own_node;
use crate::agent::userspace::rendered;
use crate::config::{Mode, ProxyConfig, ProxyFlags};
use crate::model::Snapshot;
use crate::plan::ipvs::text;
use crate::plan::xtables::rule::XtRuleset;
use crate::plan::xtables::save;
use crate::plan::{self, nft_text, nftables};
use crate::translate::iptables::IptablesRuleset;
use crate::translate::ipvs::IpvsTable;
use crate::translate::nftables::NftablesRuleset;

/// `-o` of `render`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// As iptables-save and ip6tables-save print; iptables mode only
    IptablesSave,
    /// What nft -f loads, as nft list ruleset prints it
    Nft,
    /// As ipvsadm-save -n prints; ipvs mode only
    IpvsadmSave,
    /// For machines
    Json,
}

/// Which family's rules to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Family {
    /// IPv4
    Ip,
    /// IPv6
    Ip6,
}

/// Arguments of `render`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    input: InputArgs,

    /// Output format [default: nft; iptables-save in iptables mode, ipvsadm-save in ipvs mode]
    #[arg(short, long, value_enum)]
    output: Option<Format>,

    /// Print one family only [default: both, IPv4 first]
    #[arg(long, value_enum)]
    family: Option<Family>,

    /// Suppose a kernel without nfacct
    #[arg(long)]
    without_nfacct: bool,

    #[command(flatten)]
    rules: ProxyFlags,
}

/// Prints the rules to standard output.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let config = args::proxy_config(&args.rules)?;
    let cluster = args.input.load(&config, StateAccess::ReadOnly)?;
    let node = own_node(&cluster.snapshot, &config, &[]);
    let mut facts = NodeFacts::assumed(&node.addresses, !args.without_nfacct);
    if let Some(family) = args.family {
        let wanted = match family {
            Family::Ip => crate::model::IpFamily::V4,
            Family::Ip6 => crate::model::IpFamily::V6,
        };
        facts.families.retain(|family| *family == wanted);
    }
    let format = format(args.output, config.mode)?;
    let text = match config.mode {
        Mode::Nftables => nftables(&cluster.snapshot, &config, &facts, format),
        Mode::Iptables => iptables(&cluster.snapshot, &config, &facts, format)?,
        Mode::Ipvs => ipvs(&cluster.snapshot, &config, &facts, format),
        Mode::Userspace => userspace(&cluster.snapshot, &config, &facts, format),
    };
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Exit::Done)
}

/// The format asked for, or what users of the mode know best.
fn format(asked: Option<Format>, mode: Mode) -> Result<Format, Failure> {
    match (asked, mode) {
        (Some(Format::IptablesSave), Mode::Nftables | Mode::Ipvs | Mode::Userspace) => {
            Err(Failure::bad_input(anyhow!(
                "-o iptables-save: rules of this mode are no iptables rules; use -o nft, or --mode iptables"
            )))
        }
        (Some(Format::IpvsadmSave), Mode::Nftables | Mode::Iptables | Mode::Userspace) => {
            Err(Failure::bad_input(anyhow!(
                "-o ipvsadm-save: there are virtual servers only with --mode ipvs"
            )))
        }
        (Some(format), _) => Ok(format),
        (None, Mode::Nftables | Mode::Userspace) => Ok(Format::Nft),
        (None, Mode::Iptables) => Ok(Format::IptablesSave),
        (None, Mode::Ipvs) => Ok(Format::IpvsadmSave),
    }
}

fn nftables(
    snapshot: &Snapshot,
    config: &ProxyConfig,
    facts: &NodeFacts,
    format: Format,
) -> String {
    let options = nftables_options(snapshot, config, facts);
    let rulesets = options.iter().map(|o| NftablesRuleset::new(snapshot, o));
    if format == Format::Json {
        let tables: Vec<_> = rulesets.map(|r| nftables::json::ruleset(&r)).collect();
        format!("{:#}\n", serde_json::Value::from(tables))
    } else {
        rulesets.map(|r| nftables::text::ruleset(&r)).collect()
    }
}

/// Virtual servers, or the table beside them, or both for machines.
fn ipvs(snapshot: &Snapshot, config: &ProxyConfig, facts: &NodeFacts, format: Format) -> String {
    let backend = Ipvs::new(snapshot, config, facts);
    let (tables, _) = backend.tables(snapshot);
    match format {
        Format::Json => {
            let family = |table: &IpvsTable| {
                json!({
                    "ipvs": plan::ipvs::json::state(table.servers(), table.addresses()),
                    "nftables": nftables::json::ruleset(table),
                })
            };
            let families: Vec<_> = tables.iter().map(family).collect();
            format!("{:#}\n", serde_json::Value::from(families))
        }
        Format::Nft => {
            let texts = tables.iter().map(|table| nftables::text::ruleset(table));
            texts.collect()
        }
        Format::IpvsadmSave | Format::IptablesSave => {
            let saved = tables.iter().map(|table| text::save(table.servers()));
            saved.collect()
        }
    }
}

/// The nftables mode's rules, with the agent in place of the endpoints.
fn userspace(
    snapshot: &Snapshot,
    config: &ProxyConfig,
    facts: &NodeFacts,
    format: Format,
) -> String {
    let rules = nftables(&rendered(snapshot, config, facts), config, facts, format);
    match format {
        Format::Json => rules,
        _ => format!(
            "# Endpoints are sockets of the agent. It has their ports from the kernel when it runs; \
             here they are counted.\n{rules}"
        ),
    }
}

fn iptables(
    snapshot: &Snapshot,
    config: &ProxyConfig,
    facts: &NodeFacts,
    format: Format,
) -> anyhow::Result<String> {
    let options = iptables_options(snapshot, config, facts);
    let rulesets = options.iter().map(|o| IptablesRuleset::new(snapshot, o));
    let rulesets: Vec<_> = rulesets.collect();
    let rulesets: Vec<&dyn XtRuleset> = rulesets.iter().map(|r| r as &dyn XtRuleset).collect();
    let mut text = String::new();
    match format {
        Format::IptablesSave => {
            for ruleset in rulesets {
                save::save(ruleset, &mut text)?;
            }
        }
        Format::Nft => {
            for ruleset in rulesets {
                nft_text::write(ruleset, &mut text)?;
            }
        }
        Format::Json | Format::IpvsadmSave => plan::json::write(&rulesets, &mut text)?,
    }
    Ok(text)
}

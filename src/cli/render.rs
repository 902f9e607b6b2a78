//! `portolan render`: the rules of manifests as text, without root and without a kernel.

use std::io::{self, Write};

use clap::ValueEnum;

use super::args::{self, InputArgs};
use super::{Exit, Failure};
use crate::agent::cluster::StateAccess;
use crate::agent::facts::NodeFacts;
use crate::agent::rulesets::{iptables_options, own_node};
use crate::config::ProxyFlags;
use crate::plan::xtables::rule::XtRuleset;
use crate::plan::xtables::save;
use crate::plan::{json, nft_text};
use crate::translate::iptables::IptablesRuleset;

/// `-o` of `render`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// As iptables-save and ip6tables-save print
    IptablesSave,
    /// As nft list ruleset prints
    Nft,
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

    /// Output format
    #[arg(short, long, value_enum, default_value = "iptables-save")]
    output: Format,

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
    let options = iptables_options(&cluster.snapshot, &config, &facts);
    let rulesets: Vec<IptablesRuleset<'_>> = options
        .iter()
        .map(|options| IptablesRuleset::new(&cluster.snapshot, options))
        .collect();
    let rulesets: Vec<&dyn XtRuleset> = rulesets.iter().map(|r| r as &dyn XtRuleset).collect();
    print(&rulesets, args.output)?;
    Ok(Exit::Done)
}

fn print(rulesets: &[&dyn XtRuleset], format: Format) -> anyhow::Result<()> {
    let mut text = String::new();
    match format {
        Format::IptablesSave => {
            for ruleset in rulesets {
                save::save(*ruleset, &mut text)?;
            }
        }
        Format::Nft => {
            for ruleset in rulesets {
                nft_text::write(*ruleset, &mut text)?;
            }
        }
        Format::Json => json::write(rulesets, &mut text)?,
    }
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}

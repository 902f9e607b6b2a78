//! `portolan port-forward`: a Service or a Pod at a port of this machine.

use std::io;
use std::net::IpAddr;

use anyhow::anyhow;

use super::args::NetnsArgs;
use super::{Exit, Failure};
use crate::agent::port_forward::{self, ForwardOptions, PortSpec, Source, Target};
use crate::source::manifest::ManifestInput;

/// Arguments of `port-forward`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// What to forward to: svc/NAME, pod/NAME (or NAME), deploy/NAME, sts/NAME, ds/NAME
    #[arg(value_name = "TYPE/NAME")]
    target: Target,

    /// Ports: REMOTE, LOCAL:REMOTE, or :REMOTE for any local one; REMOTE is a port of the Service or
    /// Pod by number or name, with /udp for UDP
    #[arg(value_name = "[LOCAL:]REMOTE", required = true)]
    ports: Vec<PortSpec>,

    /// Manifests that tell of Services and Pods; followed while it runs
    #[arg(short, long, value_name = "PATH", num_args = 1.., required_unless_present = "lab")]
    filename: Vec<String>,

    /// Descend into directories
    #[arg(short = 'R', long, requires = "filename")]
    recursive: bool,

    /// Forward into this lab, from one of its nodes
    #[arg(long, value_name = "NAME", conflicts_with_all = ["filename", "netns"],
          num_args = 0..=1, require_equals = true,
          default_missing_value = crate::lab::DEFAULT_NAME)]
    lab: Option<String>,

    /// Namespace of the Service or Pod
    #[arg(short, long, value_name = "NAMESPACE", default_value = "default")]
    namespace: String,

    /// Addresses to listen at, separated by commas; localhost is 127.0.0.1 and ::1
    #[arg(long, value_name = "IP,…", default_value = "localhost")]
    address: String,

    #[command(flatten)]
    netns: NetnsArgs,
}

/// Forwards until it is interrupted.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let source = match &args.lab {
        Some(name) => Source::Lab { name: name.clone() },
        None => Source::Manifests {
            input: ManifestInput {
                paths: args.filename.clone(),
                recursive: args.recursive,
                strict: false,
            },
            netns: args.netns.netns(),
        },
    };
    let options = ForwardOptions {
        source,
        namespace: args.namespace.clone(),
        target: args.target.clone(),
        ports: args.ports.clone(),
        addresses: addresses(&args.address)?,
    };
    port_forward::run(&options, &mut io::stdout())?;
    Ok(Exit::Done)
}

fn addresses(text: &str) -> Result<Vec<IpAddr>, Failure> {
    port_forward::addresses(text)
        .map_err(|reason| Failure::bad_input(anyhow!("--address: {reason}")))
}

//! `portolan port-forward`: a Service or a Pod at a port of this machine.

use std::env;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::anyhow;

use super::args::NetnsArgs;
use super::{Exit, Failure};
use crate::agent::port_forward::{self, Direct, ForwardOptions, PortSpec, Source, Target};
use crate::kernel::netns::NetnsRef;
use crate::source::kubernetes::ApiAccess;
use crate::source::manifest::ManifestInput;

/// Arguments of `port-forward`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// What to forward to: svc/NAME, pod/NAME (or NAME), deploy/NAME, sts/NAME, rs/NAME,
    /// ds/NAME
    #[arg(value_name = "TYPE/NAME")]
    target: Target,

    /// Ports: REMOTE, LOCAL:REMOTE, or :REMOTE for any local one; REMOTE is a port of the Service or
    /// Pod by number or name, with /udp for UDP
    #[arg(value_name = "[LOCAL:]REMOTE", required = true)]
    ports: Vec<PortSpec>,

    /// Manifests that tell of Services and Pods; followed while it runs [default: the cluster of
    /// the kubeconfig]
    #[arg(short, long, value_name = "PATH", num_args = 1..)]
    filename: Vec<String>,

    /// Descend into directories
    #[arg(short = 'R', long, requires = "filename")]
    recursive: bool,

    /// Forward into this lab, from one of its nodes
    #[arg(long, value_name = "NAME", conflicts_with_all = ["filename", "netns"],
          num_args = 0..=1, require_equals = true,
          default_missing_value = crate::lab::DEFAULT_NAME)]
    lab: Option<String>,

    /// Forward through the API server that this file knows [default: $KUBECONFIG, ~/.kube/config,
    /// or the cluster that this Pod is in]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["filename", "lab", "netns"])]
    kubeconfig: Option<PathBuf>,

    /// Address of the API server, in place of the kubeconfig's
    #[arg(long, value_name = "URL", conflicts_with_all = ["filename", "lab", "netns"])]
    master: Option<String>,

    /// Namespace of the Service or Pod [default: the kubeconfig's, or "default"]
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// Addresses to listen at, separated by commas; localhost is 127.0.0.1 and ::1
    #[arg(long, value_name = "IP,…", default_value = "localhost")]
    address: String,

    #[command(flatten)]
    netns: NetnsArgs,
}

/// Forwards until it is interrupted.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let options = ForwardOptions {
        source: source(args)?,
        namespace: args.namespace.clone(),
        target: args.target.clone(),
        ports: args.ports.clone(),
        addresses: addresses(&args.address)?,
    };
    port_forward::run(&options, &mut io::stdout())?;
    Ok(Exit::Done)
}

fn source(args: &Args) -> Result<Source, Failure> {
    if let Some(name) = &args.lab {
        return Ok(Source::Direct(Direct::Lab { name: name.clone() }));
    }
    if args.filename.is_empty() {
        if args.netns.netns() != NetnsRef::default() {
            return Err(Failure::bad_input(anyhow!(
                "--netns: manifests are reached from there: give them with -f"
            )));
        }
        return cluster(args).map(Source::Cluster);
    }
    Ok(Source::Direct(Direct::Manifests {
        input: ManifestInput {
            paths: args.filename.clone(),
            recursive: args.recursive,
            strict: false,
        },
        netns: args.netns.netns(),
    }))
}

/// The API server that is meant, as kubectl would know it.
fn cluster(args: &Args) -> Result<ApiAccess, Failure> {
    if args.kubeconfig.is_some() || args.master.is_some() {
        return Ok(ApiAccess {
            kubeconfig: args.kubeconfig.clone(),
            master: args.master.clone(),
        });
    }
    let listed = env::var_os("KUBECONFIG");
    let listed = listed.iter().flat_map(env::split_paths);
    let home = env::var_os("HOME").map(|home| PathBuf::from(home).join(".kube/config"));
    let kubeconfig = listed.chain(home).find(|path| path.is_file());
    if kubeconfig.is_none() && env::var_os("KUBERNETES_SERVICE_HOST").is_none() {
        return Err(Failure::bad_input(anyhow!(
            "nothing to forward to: give manifests with -f, a lab with --lab, or a cluster with \
             --kubeconfig or --master"
        )));
    }
    Ok(ApiAccess {
        kubeconfig,
        master: None,
    })
}

fn addresses(text: &str) -> Result<Vec<IpAddr>, Failure> {
    port_forward::addresses(text)
        .map_err(|reason| Failure::bad_input(anyhow!("--address: {reason}")))
}

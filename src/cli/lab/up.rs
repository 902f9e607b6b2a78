//! `portolan lab up`.

use std::io::{self, Write};
use std::time::Instant;

use clap::ValueEnum;

use super::{Exit, Failure, Name, failure, report, status};
use crate::cli::args;
use crate::config::{Mode, ProxyFlags};
use crate::lab::plan;
use crate::lab::up::{Made, Wish, up};
use crate::source::manifest::ManifestInput;

/// Arguments of `lab up`.
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    name: Name,

    /// Manifests: a file, a directory, a glob pattern, or - for standard input; repeatable
    /// [default: the examples of the course]
    #[arg(short, long, value_name = "PATH", num_args = 1..)]
    filename: Vec<String>,

    /// Descend into directories
    #[arg(short = 'R', long)]
    recursive: bool,

    /// Refuse what is only warned about otherwise: unknown fields, sloppy addresses
    #[arg(long)]
    strict: bool,

    /// Back end of the agents
    #[arg(
        long,
        visible_alias = "proxy-mode",
        value_enum,
        default_value = "nftables"
    )]
    mode: Mode,

    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = 3,
          value_parser = clap::value_parser!(u8).range(1..=i64::from(plan::MAX_NODES)))]
    nodes: u8,

    /// Run an HAProxy on the balancer, in front of all Services of type LoadBalancer
    #[arg(long)]
    haproxy: bool,

    /// Give Services of type LoadBalancer addresses of the nodes' network, for each of which one
    /// node answers: CIDR, FROM-TO or an address
    #[arg(long, value_name = "CIDR|FROM-TO", value_delimiter = ',')]
    lb_pool: Vec<String>,

    /// Say nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let started = Instant::now();
    let wish = Wish {
        name: args.name.name.clone(),
        input: ManifestInput {
            paths: args.filename.clone(),
            recursive: args.recursive,
            strict: args.strict,
        },
        nodes: args.nodes,
        mode: mode_name(args.mode),
        haproxy: args.haproxy,
        lb_pool: args.lb_pool.clone(),
        config: args::proxy_config(&rules(args))?,
    };
    let spinner = report::spinner("making namespaces, starting pods and agents");
    let made = up(&wish);
    spinner.finish_and_clear();
    let made = made.map_err(failure)?;
    if args.quiet {
        return Ok(Exit::Done);
    }
    tell(&made, started)?;
    Ok(Exit::Done)
}

/// As `--mode` takes it.
pub(super) fn mode_name(mode: Mode) -> String {
    let value = mode.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

/// The flags that `portolan run` has if nothing is said: what allocation needs to know.
fn rules(args: &Args) -> ProxyFlags {
    ProxyFlags {
        mode: args.mode,
        lb_pool: args.lb_pool.clone(),
        ..ProxyFlags::on_node("lab")
    }
}

fn tell(made: &Made, started: Instant) -> io::Result<()> {
    report::notes(&made.notes)?;
    report::remarks(&made.remarks)?;
    let status = made.lab.status();
    let mut out = io::stdout().lock();
    status::print(&status, &mut out)?;
    let name = match status.name.as_str() {
        crate::lab::DEFAULT_NAME => String::new(),
        name => format!(" --name {name}"),
    };
    writeln!(
        out,
        "\nlab {} stands after {:.1} s. To use it:\n  portolan lab curl{name} client \
         http://{}:NODEPORT -n 60\n  portolan lab exec{name} POD -- curl http://SERVICE\n  portolan lab \
         down{name}",
        status.name,
        started.elapsed().as_secs_f64(),
        plan::node_address(1),
    )
}

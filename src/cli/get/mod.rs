//! `portolan get services|endpoints|nodes|dns`: what the manifests hold once defaults are applied and
//! addresses are allocated, as kubectl would show it.

mod dns;
mod endpoints;
mod nodes;
mod services;

use std::io::{self, Write};

use clap::ValueEnum;
use serde_json::{Value, json};

use super::args::InputArgs;
use super::dns::ZoneFlags;
use super::{Exit, Failure, args, table};
use crate::agent::cluster::StateAccess;
use crate::config::ProxyFlags;

/// What to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Resource {
    /// Services with their addresses and ports
    #[value(alias = "service", alias = "svc")]
    Services,
    /// Endpoints of each Service, chosen for no particular node
    #[value(alias = "endpoint", alias = "ep", alias = "endpointslices")]
    Endpoints,
    /// Nodes
    #[value(alias = "node", alias = "no")]
    Nodes,
    /// DNS records of the cluster domain
    #[value(alias = "records")]
    Dns,
}

/// `-o`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// More columns
    Wide,
    /// A List object
    Json,
    /// A List object
    Yaml,
    /// kind/name, one a line
    Name,
}

/// Arguments of `get`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// What to show
    #[arg(value_enum)]
    resource: Resource,

    /// Show only this name
    name: Option<String>,

    #[command(flatten)]
    input: InputArgs,

    /// Show only this namespace [default: all]
    #[arg(short, long)]
    namespace: Option<String>,

    /// Show all namespaces (the default; accepted for habit's sake)
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,

    /// Output format [default: a table]
    #[arg(short, long, value_enum)]
    output: Option<Format>,

    #[command(flatten)]
    dns: ZoneFlags,

    #[command(flatten)]
    rules: ProxyFlags,
}

/// One object to show, in every form it can be asked for.
struct Row {
    namespace: Option<String>,
    name: String,
    cells: Vec<String>,
    wide_cells: Vec<String>,
    object: Value,
}

/// A kind of object and its columns.
struct Listing {
    kind: &'static str,
    headings: &'static [&'static str],
    wide_headings: &'static [&'static str],
    rows: Vec<Row>,
}

/// Prints the listing to standard output.
pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let config = args::proxy_config(&args.rules)?;
    let cluster = args.input.load(&config, StateAccess::ReadOnly)?;
    let mut listing = match args.resource {
        Resource::Services => services::listing(&cluster.snapshot),
        Resource::Endpoints => endpoints::listing(&cluster.snapshot),
        Resource::Nodes => nodes::listing(&cluster.snapshot),
        Resource::Dns => dns::listing(&cluster.snapshot, args.dns.options()?),
    };
    listing.rows.retain(|row| {
        let in_namespace = args
            .namespace
            .as_ref()
            .is_none_or(|wanted| row.namespace.as_ref().is_none_or(|have| have == wanted));
        in_namespace && args.name.as_ref().is_none_or(|wanted| *wanted == row.name)
    });
    if let (Some(name), true) = (&args.name, listing.rows.is_empty()) {
        let kind = listing.kind.to_lowercase();
        return Err(anyhow::anyhow!("{kind} \"{name}\" is not in the manifests").into());
    }
    print(listing, args.output, &mut io::stdout().lock())?;
    Ok(Exit::Done)
}

fn print(listing: Listing, format: Option<Format>, out: &mut dyn Write) -> anyhow::Result<()> {
    match format {
        Some(Format::Name) => {
            for row in &listing.rows {
                writeln!(out, "{}/{}", listing.kind.to_lowercase(), row.name)?;
            }
        }
        Some(Format::Json) => {
            serde_json::to_writer_pretty(&mut *out, &list_object(listing))?;
            writeln!(out)?;
        }
        Some(Format::Yaml) => serde_yaml::to_writer(out, &list_object(listing))?,
        Some(Format::Wide) => print_table(listing, true, out)?,
        None => print_table(listing, false, out)?,
    }
    Ok(())
}

fn list_object(listing: Listing) -> Value {
    let items: Vec<Value> = listing.rows.into_iter().map(|row| row.object).collect();
    json!({ "apiVersion": "v1", "kind": "List", "items": items })
}

fn print_table(listing: Listing, wide: bool, out: &mut dyn Write) -> io::Result<()> {
    if listing.rows.is_empty() {
        return writeln!(
            io::stderr(),
            "No {} found.",
            listing.kind.to_lowercase() + "s"
        );
    }
    let mut headings = listing.headings.to_vec();
    if wide {
        headings.extend(listing.wide_headings);
    }
    let rows = listing.rows.into_iter().map(|row| {
        let mut cells = row.cells;
        if wide {
            cells.extend(row.wide_cells);
        }
        cells
    });
    table::write(out, &headings, rows)
}

/// Joins what `items` display as with commas.
fn join<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items
        .into_iter()
        .map(|item| item.to_string())
        .collect::<Vec<_>>()
        .join(",")
}

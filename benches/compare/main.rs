//! What it costs to bring Services into the kernel and to follow their changes: portolan in its
//! modes, beside the text tools with the same rules and, where there is one, kube-proxy.
//!
//! Run it with `scripts/bench`, which checks for what it needs. Everything happens in network
//! namespaces of its own. Three roles in one program: the benchmark, `generate` (manifests to
//! standard output), and `measure` (runs one command and reports what it used; started by the
//! benchmark itself).

mod agent;
mod api_server;
mod cases;
mod cluster;
mod data_path;
mod generation;
mod manifests;
mod measure;
mod namespace;
mod report;
mod result;
mod settings;
mod text;

use std::io::{self, BufWriter};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

use manifests::{Shape, State};
use settings::{Settings, SettingsArgs};

/// Measures portolan.
#[derive(Parser)]
#[command(name = "scripts/bench", args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(subcommand)]
    role: Option<Role>,
    /// Passed by cargo to every benchmark.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Role {
    /// Write manifests of many Services with their EndpointSlices to standard output
    Generate {
        /// Number of Services
        services: u32,
        /// Endpoints of each Service
        endpoints: u32,
        /// The state of the cluster
        #[arg(long, value_enum, default_value = "base")]
        state: State,
    },
    /// Run one command and write what it used to standard output
    #[command(hide = true)]
    Measure(measure::Request),
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scripts/bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.role {
        Some(Role::Generate {
            services,
            endpoints,
            state,
        }) => {
            let shape = Shape {
                services,
                endpoints,
            };
            let out = BufWriter::new(io::stdout().lock());
            shape.write(state, out).context("cannot write manifests")
        }
        Some(Role::Measure(request)) => measure::serve(&request),
        None if !cli.bench => {
            println!("nothing is measured without --bench; use scripts/bench");
            Ok(())
        }
        None => {
            let settings = Settings::new(cli.settings);
            let machine = report::Machine::look()?;
            let results = cases::run(&settings)?;
            report::all(&results, &settings, &machine)
        }
    }
}

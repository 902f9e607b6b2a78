//! What `portolan apply` costs in iptables mode, beside `iptables-restore` of the same rules.
//!
//! Run it with `scripts/bench`, which checks for what it needs. Each case runs in a network namespace of its own.
//! Three roles in one program: the benchmark, `generate` (manifests to standard output), and
//! `measure` (runs one command and reports what it used; started by the benchmark itself).

mod cases;
mod manifests;
mod measure;
mod report;

use std::io::{self, BufWriter};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};

/// Measures portolan.
#[derive(Parser)]
#[command(name = "scripts/bench", args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    role: Option<Role>,
    /// Passed by cargo to every benchmark.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

/// What is measured.
#[derive(Args, Debug)]
struct Settings {
    /// Numbers of Services
    #[arg(long, value_delimiter = ',', default_value = "100,1000,10000")]
    sizes: Vec<u32>,
    /// Endpoints of each Service
    #[arg(long, default_value_t = 10)]
    endpoints: u32,
    /// Runs of each case; the median is shown
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Seconds after which iptables-restore is stopped
    #[arg(long, default_value_t = 120)]
    limit: u64,
    /// 20 Services, one run: does the benchmark itself work?
    #[arg(long)]
    quick: bool,
    /// The portolan to measure [default: the one built with this benchmark]
    #[arg(long, value_name = "PATH")]
    portolan: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Role {
    /// Write manifests of many Services with their EndpointSlices to standard output
    Generate {
        /// Number of Services
        services: u32,
        /// Endpoints of each Service
        endpoints: u32,
        /// Give one endpoint of the middle Service another address
        #[arg(long)]
        changed: bool,
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
            changed,
        }) => {
            let shape = manifests::Shape {
                services,
                endpoints,
                changed,
            };
            let out = BufWriter::new(io::stdout().lock());
            manifests::write(shape, out).context("cannot write manifests")
        }
        Some(Role::Measure(request)) => measure::serve(&request),
        None if !cli.bench => {
            println!("nothing is measured without --bench; use scripts/bench");
            Ok(())
        }
        None => {
            let mut settings = cli.settings;
            if settings.quick {
                settings.sizes = vec![20];
                settings.runs = 1;
                settings.limit = settings.limit.min(20);
            }
            let results = cases::run(&settings)?;
            report::print(&results, &settings)?;
            report::save(&results, &settings)
        }
    }
}

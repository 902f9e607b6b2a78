//! What one change costs in the nftables mode, from a handful of Services to very many: the work
//! should not grow with their number. And what loading them all costs, once they are in memory.
//!
//! Works in network namespaces of its own, so it needs root. Run it with
//! `cargo bench --bench change`. Each size is measured in a process of its own (the role `size`),
//! so that none sees memory of another.

mod cluster;
mod cost;
mod report;
mod size;

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use mimalloc::MiMalloc;

/// As in the program itself: memory is part of what is measured.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Measures changes of the nftables table.
#[derive(Parser)]
#[command(name = "change", args_conflicts_with_subcommands = true)]
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
#[derive(Args, Clone, Debug)]
struct Settings {
    /// Numbers of Services
    #[arg(long, value_delimiter = ',', default_value = "100,1000,10000,100000")]
    sizes: Vec<u32>,
    /// Endpoints of each Service
    #[arg(long, default_value_t = 10)]
    endpoints: u32,
    /// Changes of each kind; the median is shown
    #[arg(long, default_value_t = 500)]
    changes: u32,
    /// 20 Services, 10 changes: does the benchmark itself work?
    #[arg(long)]
    quick: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Role {
    /// Measure one size and write the result to standard output, as JSON
    #[command(hide = true)]
    Size(size::Shape),
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("change: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.role {
        Some(Role::Size(shape)) => {
            let measured = size::measure(shape)?;
            println!("{}", serde_json::to_string(&measured)?);
            Ok(())
        }
        None if !cli.bench => {
            println!("nothing is measured without --bench");
            Ok(())
        }
        None => {
            let mut settings = cli.settings;
            if settings.quick {
                settings.sizes = vec![20];
                settings.changes = 10;
            }
            let sizes = settings.sizes.iter();
            let measured: Vec<_> = sizes
                .map(|services| one_size(&settings, *services))
                .collect::<anyhow::Result<_>>()?;
            if settings.json {
                report::json(&measured)
            } else {
                report::table(&measured)
            }
        }
    }
}

/// Measures one size in a process of its own.
fn one_size(settings: &Settings, services: u32) -> anyhow::Result<size::Measured> {
    let numbers = [services, settings.endpoints, settings.changes];
    let output = Command::new(std::env::current_exe()?)
        .arg("size")
        .args(numbers.map(|number| number.to_string()))
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start the measuring process")?;
    if !output.status.success() {
        bail!("measuring {services} services failed");
    }
    serde_json::from_slice(&output.stdout).context("cannot read the measurement")
}

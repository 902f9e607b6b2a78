//! The results: tables for people, JSON for programs.

use std::fs;
use std::io::Write;

use serde_json::{Value, json};
use tabwriter::{Alignment, TabWriter};

use crate::cost::Cost;
use crate::size::{Changes, Kind, Measured};

impl Kind {
    fn title(self) -> &'static str {
        match self {
            Self::EndpointChanged => "one endpoint changed",
            Self::ServiceAdded => "one service added",
            Self::ServiceRemoved => "one service removed",
        }
    }
}

/// Prints two tables: changes (medians), loads.
pub(crate) fn table(measured: &[Measured]) -> anyhow::Result<()> {
    println!("nftables mode, {}", machine());
    println!("\nchanges, microseconds of CPU, median (commit in the kernel: mean)\n");
    let mut table = writer();
    writeln!(
        table,
        "services\tchange\tprepare\tcommit\tin the kernel\tcommit, wall\tmessages\tbytes\t"
    )?;
    for size in measured {
        for changes in &size.changes {
            writeln!(
                table,
                "{}\t{}\t{:.0}\t{:.0}\t{:.0}\t{:.0}\t{}\t{}\t",
                size.services,
                changes.kind.title(),
                Cost::median(&changes.prepare, Cost::cpu),
                Cost::median(&changes.commit, Cost::cpu),
                Cost::mean(&changes.commit, |cost| cost.kernel),
                Cost::median(&changes.commit, |cost| cost.wall),
                changes.messages,
                changes.bytes,
            )?;
        }
    }
    table.flush()?;
    println!("\nload from memory into an empty kernel, seconds and MB\n");
    let mut table = writer();
    writeln!(
        table,
        "services\twall\ttranslate\tcommit user\tcommit kernel\ttransactions\tMB sent\tsnapshot\tpeak\tsteady\t"
    )?;
    for size in measured {
        let load = &size.load;
        let wall = load.translate.wall + load.commit.wall;
        writeln!(
            table,
            "{}\t{:.3}\t{:.3}\t{:.3}\t{:.3}\t{}\t{:.1}\t{:.1}\t{:.1}\t{:.1}\t",
            size.services,
            wall / 1e6,
            load.translate.cpu() / 1e6,
            load.commit.user / 1e6,
            load.commit.kernel / 1e6,
            load.transactions,
            megabytes(load.bytes),
            load.snapshot_mb,
            load.peak_mb,
            load.steady_mb,
        )?;
    }
    table.flush()?;
    Ok(())
}

/// Prints everything but the single changes.
pub(crate) fn json(measured: &[Measured]) -> anyhow::Result<()> {
    let sizes = measured.iter().map(|size| {
        json!({
            "services": size.services,
            "endpoints": size.endpoints,
            "load": size.load,
            "changes": size.changes.iter().map(changes).collect::<Vec<_>>(),
        })
    });
    let all = json!({
        "mode": "nftables",
        "machine": machine(),
        "unit": "microseconds",
        "sizes": sizes.collect::<Vec<_>>(),
    });
    println!("{}", serde_json::to_string_pretty(&all)?);
    Ok(())
}

fn changes(changes: &Changes) -> Value {
    let figures = |costs: &[Cost]| {
        json!({
            "medianCpu": Cost::median(costs, Cost::cpu),
            "medianWall": Cost::median(costs, |cost| cost.wall),
            "meanUser": Cost::mean(costs, |cost| cost.user),
            "meanKernel": Cost::mean(costs, |cost| cost.kernel),
        })
    };
    json!({
        "kind": changes.kind,
        "changes": changes.commit.len(),
        "messages": changes.messages,
        "bytes": changes.bytes,
        "prepare": figures(&changes.prepare),
        "commit": figures(&changes.commit),
    })
}

fn writer() -> TabWriter<std::io::Stdout> {
    TabWriter::new(std::io::stdout())
        .alignment(Alignment::Right)
        .padding(2)
}

#[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

/// Kernel and number of cores: figures mean nothing without them.
fn machine() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!("Linux {}, {cores} cores", kernel.trim())
}

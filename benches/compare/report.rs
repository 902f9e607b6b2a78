//! The results: a table for people, JSON for comparing with another day.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use serde_json::json;
use tabwriter::{Alignment, TabWriter};

use crate::Settings;
use crate::cases::Measured;
use crate::measure::Usage;

/// Prints medians.
pub(crate) fn print(results: &[Measured], settings: &Settings) -> anyhow::Result<()> {
    println!(
        "iptables mode, {} endpoints per Service, median of {} runs, {}",
        settings.endpoints,
        settings.runs,
        machine()
    );
    let mut table = TabWriter::new(std::io::stdout())
        .alignment(Alignment::Right)
        .padding(2);
    writeln!(
        table,
        "services\trules\tcase\twall s\tuser s\tkernel s\tpeak MB\t"
    )?;
    for measured in results {
        let [wall, user, kernel] = [
            |run: &Usage| run.wall_seconds,
            |run: &Usage| run.user_seconds,
            |run: &Usage| run.kernel_seconds,
        ]
        .map(|of| format!("{:.3}", median(&measured.runs, of)));
        let stopped = measured.runs.iter().any(|run| run.stopped);
        let wall = if stopped {
            format!("> {}", settings.limit)
        } else {
            wall
        };
        let peak = median(&measured.runs, |run| run.peak_kilobytes as f64) / 1024.0;
        writeln!(
            table,
            "{}\t{}\t{}\t{wall}\t{user}\t{kernel}\t{peak:.1}\t",
            measured.services,
            measured.rules,
            measured.case.title()
        )?;
    }
    table.flush()?;
    Ok(())
}

/// Writes every run to `target/bench/apply.json`.
pub(crate) fn save(results: &[Measured], settings: &Settings) -> anyhow::Result<()> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let path = dir.join("apply.json");
    let value = json!({
        "mode": "iptables",
        "machine": machine(),
        "limitSeconds": settings.limit,
        "results": results,
    });
    let text = serde_json::to_string_pretty(&value)? + "\n";
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("all runs: target/bench/apply.json");
    Ok(())
}

/// The middle value, or the mean of the two in the middle.
fn median(runs: &[Usage], of: impl Fn(&Usage) -> f64) -> f64 {
    let mut values: Vec<f64> = runs.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}

/// Kernel and number of cores: figures mean nothing without them.
fn machine() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!("Linux {}, {cores} cores", kernel.trim())
}

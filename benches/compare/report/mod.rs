//! The results: tables for people, JSON for comparing with another day, pictures.

mod machine;
mod plot;
mod table;

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use serde_json::json;

pub(crate) use machine::Machine;
use plot::Unit;

use crate::result::{Case, Results};
use crate::settings::Settings;

/// Between these lines of benchmarks.md the results are.
const BEGIN: &str =
    "<!-- results of scripts/bench: everything down to the end mark is written by it -->";
const END: &str = "<!-- end of the results -->";

/// Prints the results and writes them to their files.
pub(crate) fn all(results: &Results, settings: &Settings, machine: &Machine) -> anyhow::Result<()> {
    let tables = table::tables(results);
    println!("{}", machine.sentence(settings));
    for table in &tables {
        println!("\n{}\n{}", table.title, table.text()?);
    }
    for line in &results.left_out {
        println!("not measured: {line}");
    }
    let directory = settings.out.join("benchmarks");
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    write(
        &directory.join("compare.json"),
        &json(results, settings, machine)?,
    )?;
    for (name, picture) in pictures(results) {
        write(&directory.join(name), &picture)?;
    }
    let page = settings.out.join("benchmarks.md");
    let mut text = format!("{}\n", machine.sentence(settings));
    for table in &tables {
        text.push_str(&format!("\n### {}\n\n{}", table.title, table.markdown()));
    }
    if !results.left_out.is_empty() {
        text.push_str("\nNot measured:\n\n");
        for line in &results.left_out {
            text.push_str(&format!("* {line}\n"));
        }
    }
    let before = fs::read_to_string(&page).unwrap_or_else(|_| format!("{BEGIN}\n{END}\n"));
    write(&page, &between(&before, &text)?)?;
    println!(
        "written: {0}, {1}/compare.json, {1}/*.svg",
        page.display(),
        directory.display()
    );
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// The page with the results in their place.
fn between(page: &str, results: &str) -> anyhow::Result<String> {
    let (Some((before, _)), Some((_, after))) = (page.split_once(BEGIN), page.split_once(END))
    else {
        bail!("benchmarks.md has no place for results: the lines {BEGIN} and {END}");
    };
    Ok(format!("{before}{BEGIN}\n\n{results}\n{END}{after}"))
}

fn json(results: &Results, settings: &Settings, machine: &Machine) -> anyhow::Result<String> {
    let value = json!({
        "machine": machine,
        "endpointsPerService": settings.endpoints,
        "limitSeconds": settings.limit.as_secs(),
        "cases": results.rows,
        "connections": results.connects,
        "notMeasured": results.left_out,
    });
    Ok(serde_json::to_string_pretty(&value)? + "\n")
}

/// File names and pictures.
fn pictures(results: &Results) -> Vec<(&'static str, String)> {
    let wall = plot::series(results, Case::Cold, |run| Some(run.wall_seconds), "");
    let parsed = plot::series(results, Case::Cold, |run| run.sync_seconds, ", once parsed");
    let change = plot::series(results, Case::Endpoint, |run| run.cpu_seconds, "");
    let peak = plot::series(results, Case::Cold, |run| run.peak_megabytes, "");
    let cold: Vec<_> = wall.into_iter().chain(parsed).collect();
    let all = [
        ("cold-start.svg", "Cold start", Unit::Seconds, cold),
        (
            "one-endpoint.svg",
            "One endpoint changed: CPU time",
            Unit::Seconds,
            change,
        ),
        (
            "memory.svg",
            "Peak memory of a cold start",
            Unit::Megabytes,
            peak,
        ),
    ];
    let drawn = all.into_iter();
    drawn
        .filter_map(|(name, title, unit, series)| Some((name, plot::draw(title, unit, &series)?)))
        .collect()
}

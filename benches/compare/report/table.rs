//! Tables: what was measured down, numbers of Services across.

use std::fmt::Write as _;
use std::io::Write as _;

use tabwriter::{Alignment, TabWriter};

use crate::result::{Case, Measured, Mode, Of, Results, Tool};

/// A table for the terminal or the page.
pub(crate) struct Table {
    pub(crate) title: &'static str,
    /// Columns at the left that are words.
    words: usize,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// All tables that have something in them.
pub(crate) fn tables(results: &Results) -> Vec<Table> {
    let tables = [
        times(results),
        inside(results),
        memory(results),
        connects(results),
    ];
    tables
        .into_iter()
        .filter(|table| !table.rows.is_empty())
        .collect()
}

fn times(results: &Results) -> Table {
    let mut table = Table::across(
        results,
        "Time until the kernel has it (CPU time)",
        &["Case", "With"],
    );
    for (case, tool) in kinds(results) {
        let labels = [case.title(), tool.title()];
        table.row(results, &labels, |services| {
            Some(wall_and_cpu(results.find(services, case, tool)?))
        });
    }
    table
}

fn wall_and_cpu(row: &Measured) -> String {
    if row.stopped() {
        return format!(
            "> {:.0} s",
            row.runs
                .iter()
                .map(|run| run.wall_seconds)
                .fold(0.0, f64::max)
        );
    }
    let wall = time(row.median(|run| Some(run.wall_seconds)));
    match row.median(|run| run.cpu_seconds) {
        Some(cpu) => format!("{wall} ({})", time(Some(cpu))),
        None => wall,
    }
}

/// A figure that a program tells of itself.
type Figure = (&'static str, Of, fn(Option<f64>) -> String);

/// The parsing of a start, apart from the programming.
const PARSING: &str = "start → manifests parsed";

const FIGURES: [Figure; 4] = [
    (
        PARSING,
        |run| Some(run.wall_seconds - run.sync_seconds?),
        time,
    ),
    (
        "manifests parsed → in the kernel",
        |run| run.sync_seconds,
        time,
    ),
    ("of it commits", |run| run.commit_seconds, time),
    ("netlink messages", |run| run.messages, count),
];

fn inside(results: &Results) -> Table {
    let heads = ["Case", "With", ""];
    let mut table = Table::across(results, "What the agents tell of themselves", &heads);
    for (case, tool) in kinds(results) {
        for (name, of, show) in FIGURES {
            if name == PARSING && !matches!(case, Case::Cold | Case::Restart) {
                continue;
            }
            let median = |services| {
                let row = results.find(services, case, tool)?;
                row.median(of).map(|value| show(Some(value)))
            };
            table.row(results, &[case.title(), tool.title(), name], median);
        }
    }
    table
}

fn memory(results: &Results) -> Table {
    let heads = ["Case", "With", "MB"];
    let mut table = Table::across(results, "Memory of the process", &heads);
    for (case, tool) in kinds(results) {
        if !matches!(case, Case::Cold | Case::Restart) {
            continue;
        }
        let figures: [(_, Of); 2] = [
            ("peak", |run| run.peak_megabytes),
            ("steady", |run| run.steady_megabytes),
        ];
        for (name, of) in figures {
            let median = |services| {
                let row = results.find(services, case, tool)?;
                row.median(of).map(|value| format!("{value:.1}"))
            };
            table.row(results, &[case.title(), tool.title(), name], median);
        }
    }
    table
}

fn connects(results: &Results) -> Table {
    let heads = ["Rules", "Through", "Services", "p50 µs", "p99 µs"];
    Table {
        title: "Setting up a connection",
        words: 2,
        header: heads.map(str::to_owned).to_vec(),
        rows: results
            .connects
            .iter()
            .map(|row| {
                vec![
                    row.mode.map_or("none", Mode::name).to_owned(),
                    row.through.to_owned(),
                    thousands(row.services),
                    format!("{:.1}", row.p50_microseconds),
                    format!("{:.1}", row.p99_microseconds),
                ]
            })
            .collect(),
    }
}

/// Every case with every tool that was measured with any number of Services, in order.
fn kinds(results: &Results) -> Vec<(Case, Tool)> {
    let mut kinds: Vec<_> = results
        .rows
        .iter()
        .map(|row| (row.case, row.tool))
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

fn sizes(results: &Results) -> Vec<u32> {
    let mut sizes: Vec<_> = results.rows.iter().map(|row| row.services).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

impl Table {
    /// A table with a column for each number of Services.
    fn across(results: &Results, title: &'static str, words: &[&str]) -> Self {
        let words_of = words.iter().map(|word| (*word).to_owned());
        let sizes = sizes(results).into_iter().map(thousands);
        Self {
            title,
            words: words.len(),
            header: words_of.chain(sizes).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row, unless there is nothing in it.
    fn row(&mut self, results: &Results, words: &[&str], cell: impl Fn(u32) -> Option<String>) {
        let cells: Vec<_> = sizes(results).into_iter().map(cell).collect();
        if cells.iter().all(Option::is_none) {
            return;
        }
        let words = words.iter().map(|word| (*word).to_owned());
        let cells = cells
            .into_iter()
            .map(|cell| cell.unwrap_or_else(|| "–".to_owned()));
        self.rows.push(words.chain(cells).collect());
    }

    /// For the terminal.
    pub(crate) fn text(&self) -> anyhow::Result<String> {
        let mut out = TabWriter::new(Vec::new())
            .alignment(Alignment::Left)
            .padding(2);
        for row in std::iter::once(&self.header).chain(&self.shown()) {
            writeln!(out, "{}", row.join("\t"))?;
        }
        Ok(String::from_utf8(out.into_inner()?)?)
    }

    /// For the page.
    pub(crate) fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let mut text = line(&self.header);
        let marks = self.header.iter().enumerate();
        let marks = marks.map(|(column, _)| if column < self.words { "---" } else { "---:" });
        let _ = writeln!(text, "| {} |", marks.collect::<Vec<_>>().join(" | "));
        for row in self.shown() {
            text.push_str(&line(&row));
        }
        text
    }

    /// Rows in which words that were said in the row before are left out.
    fn shown(&self) -> Vec<Vec<String>> {
        let mut before: &[String] = &[];
        let mut shown = Vec::new();
        for row in &self.rows {
            let mut same = true;
            let cells = row.iter().enumerate().map(|(column, cell)| {
                same &= column + 1 < self.words && before.get(column) == Some(cell);
                if same { String::new() } else { cell.clone() }
            });
            shown.push(cells.collect());
            before = row;
        }
        shown
    }
}

/// A time with three digits that count.
fn time(seconds: Option<f64>) -> String {
    let Some(seconds) = seconds else {
        return "–".to_owned();
    };
    let milliseconds = seconds * 1000.0;
    match milliseconds {
        0.0 => "0".to_owned(),
        ..0.1 => format!("{milliseconds:.3} ms"),
        ..10.0 => format!("{milliseconds:.2} ms"),
        ..100.0 => format!("{milliseconds:.1} ms"),
        ..1000.0 => format!("{milliseconds:.0} ms"),
        _ => format!("{seconds:.2} s"),
    }
}

fn count(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.0}"))
}

/// A number as people read it.
pub(crate) fn thousands(number: u32) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

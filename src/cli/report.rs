//! What verbs say beside their output: notes about the input, progress, and what changes.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};

use crate::agent::backend::FamilyChanges;
use crate::model::{IpFamily, Snapshot, proxied_ports};
use crate::plan::diff::ChangeKind;
use crate::source::manifest::Note;

const GREEN: Style = AnsiColor::Green.on_default();
const RED: Style = AnsiColor::Red.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const CYAN: Style = AnsiColor::Cyan.on_default();

/// Prints notes about the input to standard error, one a line.
pub(super) fn notes(notes: &[Note]) -> io::Result<()> {
    let mut stderr = anstream::stderr().lock();
    for note in notes {
        writeln!(stderr, "{YELLOW}note:{YELLOW:#} {note}")?;
    }
    Ok(())
}

/// Prints remarks that belong to no place in the input.
pub(super) fn remarks(remarks: &[String]) -> io::Result<()> {
    let mut stderr = anstream::stderr().lock();
    for remark in remarks {
        writeln!(stderr, "{YELLOW}note:{YELLOW:#} {remark}")?;
    }
    Ok(())
}

/// A bar of so many columns.
pub(super) fn bar(columns: u32) -> String {
    "█".repeat(columns as usize)
}

/// Warns of rules of another proxy that stay.
pub(super) fn competitors(names: &[String]) -> io::Result<()> {
    let mut stderr = anstream::stderr().lock();
    for name in names {
        writeln!(
            stderr,
            "{YELLOW}warning:{YELLOW:#} rules of another proxy are in place and stay: {name}; \
             replace them with --take-over, or remove them with portolan cleanup"
        )?;
    }
    Ok(())
}

/// A sign of life on standard error for what may take over a second; nothing if that is no
/// terminal.
pub(super) fn spinner(what: &'static str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(what);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(Duration::from_millis(200));
    spinner
}

/// Prints the services that change: one a line, with where they answer and how many endpoints.
pub(super) fn services(
    changes: &[FamilyChanges],
    snapshot: &Snapshot,
    out: &mut dyn Write,
) -> io::Result<()> {
    for changes in changes {
        for change in &changes.services {
            let (sign, style) = match change.kind {
                ChangeKind::Added => ('+', GREEN),
                ChangeKind::Changed => ('~', YELLOW),
                ChangeKind::Deleted => ('-', RED),
            };
            let front_ends = front_ends(&change.service, snapshot, changes.family);
            writeln!(out, "{style}{sign} {}{style:#}{front_ends}", change.service)?;
        }
    }
    Ok(())
}

/// `  10.233.10.10:80/TCP, node port 30080`, from the service port's text name.
fn front_ends(name: &str, snapshot: &Snapshot, family: IpFamily) -> String {
    let (object, _) = name.split_once(':').unwrap_or((name, ""));
    let Some((namespace, service)) = object.split_once('/') else {
        return String::new();
    };
    let key = crate::model::NamespacedName::new(namespace, service);
    let Some(service) = snapshot.services.get(&key) else {
        return String::new();
    };
    let mut all = BTreeSet::new();
    for port in proxied_ports(service, family)
        .iter()
        .filter(|port| port.name.to_string() == name)
    {
        let addresses = std::iter::once(&port.cluster_ip)
            .chain(&port.external_ips)
            .chain(&port.load_balancer_vips);
        for address in addresses {
            let socket = std::net::SocketAddr::new(*address, port.port);
            all.insert(format!("{socket}/{}", port.name.protocol));
        }
        all.extend(
            port.node_port
                .map(|p| format!("node port {p}/{}", port.name.protocol)),
        );
    }
    if all.is_empty() {
        return String::new();
    }
    format!("  {}", all.into_iter().collect::<Vec<_>>().join(", "))
}

/// Prints a unified diff, coloured on a terminal.
pub(super) fn unified(diff: &str, out: &mut dyn Write) -> io::Result<()> {
    for line in diff.lines() {
        let style = match line.as_bytes() {
            [b'+', ..] => GREEN,
            [b'-', ..] => RED,
            [b'~', ..] => YELLOW,
            [b'@', ..] => CYAN,
            _ => Style::new(),
        };
        writeln!(out, "{style}{line}{style:#}")?;
    }
    Ok(())
}

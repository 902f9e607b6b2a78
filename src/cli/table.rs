//! Tables as kubectl prints them: upper-case headings, columns three spaces apart, no lines.

use std::io::{self, Write};

use tabwriter::TabWriter;

/// Writes a table. Empty cells print as `<none>`, as kubectl does.
pub(super) fn write(
    out: &mut dyn Write,
    headings: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> io::Result<()> {
    let mut table = TabWriter::new(out).padding(3);
    writeln!(table, "{}", headings.join("\t"))?;
    for row in rows {
        let cells: Vec<&str> = row
            .iter()
            .map(|cell| if cell.is_empty() { "<none>" } else { cell })
            .collect();
        writeln!(table, "{}", cells.join("\t"))?;
    }
    table.flush()
}

//! What verbs say beside their output: notes about the input, and the summary of a change.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use crate::source::manifest::Note;

/// Prints notes about the input to standard error, one a line.
pub(super) fn notes(notes: &[Note]) -> io::Result<()> {
    let yellow: Style = AnsiColor::Yellow.on_default();
    let mut stderr = anstream::stderr().lock();
    for note in notes {
        writeln!(stderr, "{yellow}note:{yellow:#} {note}")?;
    }
    Ok(())
}

//! Splits a stream into documents: at YAML's `---` and `...` lines, and between concatenated JSON
//! objects.
//!
//! Holds one document at a time, never the file. Must not parse: only line starts and, in JSON,
//! brackets and quotes are looked at.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};

use super::extent::{Extent, Measure};
use super::lines::{JsonScan, LineKind};
use super::problem::{Problem, TextProblem};

/// The most bytes one document may have.
pub const MAX_DOCUMENT_BYTES: usize = 64 << 20;

/// The most of a `---` line, with the comment it may hold, that is looked at.
const LONGEST_SEPARATOR: usize = 4096;

/// The text of one document.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Document {
    /// Position in the file, counted from 1.
    pub(super) number: u32,
    /// Line of the file that the text starts in, counted from 1.
    pub(super) first_line: u64,
    pub(super) text: String,
    /// The bytes of the stream from the end of the document before to the end of this one.
    pub(super) extent: Extent,
    /// Line of the file that the extent starts in.
    pub(super) extent_line: u64,
}

/// An error in a stream and the document it is in, if any has begun.
#[derive(Debug)]
pub(super) struct StreamError {
    pub(super) document: Option<u32>,
    pub(super) problem: Problem,
}

/// The documents of a stream. Documents without content count but are not returned.
pub(super) struct Documents<R> {
    reader: BufReader<R>,
    limit: usize,
    /// Line about to be read.
    line: u64,
    /// Documents begun so far.
    number: u32,
    /// The document being collected.
    open: Option<Open>,
    /// What was read since the end of the last one with content.
    measure: Measure,
    /// The line that began in.
    measure_line: u64,
    /// Complete documents that a line brought, oldest first.
    ready: VecDeque<Result<Document, StreamError>>,
    finished: bool,
}

#[derive(Default)]
struct Open {
    first_line: u64,
    bytes: Vec<u8>,
    /// Something other than blank lines, comments and directives.
    has_content: bool,
    json: Option<JsonScan>,
}

impl<R: Read> Documents<R> {
    pub(super) fn new(reader: R) -> Self {
        Self::with_limit(reader, MAX_DOCUMENT_BYTES)
    }

    /// Documents of the rest of a stream, from a place where none is open: `number` have begun
    /// before, and `line` is the next.
    pub(super) fn going_on(reader: R, number: u32, line: u64) -> Self {
        Self {
            number,
            line,
            measure_line: line,
            ..Self::new(reader)
        }
    }

    /// Where the stream is: documents begun, the line about to be read, and what was read since
    /// the last one with content.
    pub(super) fn place(&mut self) -> (u32, u64, Extent) {
        (self.number, self.line, self.measure.end())
    }

    fn with_limit(reader: R, limit: usize) -> Self {
        Self {
            reader: BufReader::with_capacity(64 << 10, reader),
            limit,
            line: 1,
            number: 0,
            open: None,
            measure: Measure::default(),
            measure_line: 1,
            ready: VecDeque::new(),
            finished: false,
        }
    }

    /// Reads one line into the open document; false at the end of the stream.
    fn advance(&mut self) -> Result<bool, Problem> {
        let mut line = Vec::new();
        // One byte over the limit tells a document that is too large from one that just fits; a
        // separator behind one that just fits must be seen whole.
        let used = self.open.as_ref().map_or(0, |open| open.bytes.len());
        let allowed = (self.limit + 1).saturating_sub(used).max(LONGEST_SEPARATOR);
        let mut limited = self.reader.by_ref().take(allowed as u64);
        limited.read_until(b'\n', &mut line).map_err(read_error)?;
        if self.line == 1 {
            let mark = strip_byte_order_mark(&mut line).map_err(Problem::Text)?;
            self.measure.add(mark);
        }
        if line.is_empty() {
            return Ok(false);
        }
        if line.contains(&0) {
            return Err(Problem::Text(TextProblem::Binary(self.line)));
        }
        let kind = LineKind::of(&line);
        let separates = matches!(kind, LineKind::Start | LineKind::End);
        if !separates && used + line.len() > self.limit {
            // The document it belongs to has begun, even if this is its first line.
            self.open_document();
            return Err(Problem::Text(TextProblem::TooLarge(self.limit)));
        }
        match kind {
            LineKind::Start => {
                self.close();
                self.measure.add(&line);
                self.open_document().append(&mut line);
            }
            LineKind::StartWithContent => {
                self.close();
                self.append_content(line);
            }
            LineKind::End => {
                self.close();
                self.measure.add(&line);
            }
            LineKind::Empty => {
                self.measure.add(&line);
                if let Some(open) = &mut self.open {
                    open.bytes.append(&mut line);
                }
            }
            LineKind::Content => self.append_content(line),
        }
        self.line += 1;
        Ok(true)
    }

    /// The open document's bytes, begun if there is none.
    fn open_document(&mut self) -> &mut Vec<u8> {
        if self.open.is_none() {
            self.number += 1;
        }
        let first_line = self.line;
        let open = self.open.get_or_insert_with(|| Open {
            first_line,
            ..Open::default()
        });
        &mut open.bytes
    }

    fn append_content(&mut self, mut line: Vec<u8>) {
        self.open_document();
        let Some(open) = &mut self.open else { return };
        if !open.has_content {
            open.has_content = true;
            if JsonScan::applies(&line) {
                // A `---` before it is no part of JSON.
                open.bytes.clear();
                open.first_line = self.line;
                open.json = Some(JsonScan::default());
            }
        }
        let Some(scan) = &mut open.json else {
            self.measure.add(&line);
            open.bytes.append(&mut line);
            return;
        };
        match scan.end_of_object(&line) {
            None => {
                self.measure.add(&line);
                open.bytes.append(&mut line);
            }
            Some(end) => {
                let rest = line.split_off(end);
                self.measure.add(&line);
                open.bytes.append(&mut line);
                self.close();
                if rest.iter().all(u8::is_ascii_whitespace) {
                    self.measure.add(&rest);
                } else {
                    self.append_content(rest);
                }
            }
        }
    }

    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        if !open.has_content {
            return;
        }
        let document = String::from_utf8(open.bytes).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let bytes = error.as_bytes();
            let lines = bytes[..valid].iter().filter(|&&b| b == b'\n').count();
            let line = open.first_line + lines as u64;
            TextProblem::NotUtf8(line, bytes.get(valid).copied().unwrap_or_default())
        });
        let extent = self.measure.end();
        let extent_line = std::mem::replace(&mut self.measure_line, self.line);
        self.ready.push_back(match document {
            Ok(text) => Ok(Document {
                number: self.number,
                first_line: open.first_line,
                text,
                extent,
                extent_line,
            }),
            Err(problem) => Err(StreamError {
                document: Some(self.number),
                problem: Problem::Text(problem),
            }),
        });
    }
}

impl<R: Read> Iterator for Documents<R> {
    type Item = Result<Document, StreamError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() && !self.finished {
            match self.advance() {
                Ok(true) => {}
                Ok(false) => {
                    self.finished = true;
                    self.close();
                }
                Err(problem) => {
                    self.finished = true;
                    let document = self.open.take().map(|_| self.number);
                    self.ready.push_back(Err(StreamError { document, problem }));
                }
            }
        }
        self.ready.pop_front()
    }
}

fn read_error(error: io::Error) -> Problem {
    Problem::Io {
        action: "read",
        error,
    }
}

/// Takes the mark off a line, and gives it.
fn strip_byte_order_mark(line: &mut Vec<u8>) -> Result<&'static [u8], TextProblem> {
    match line.as_slice() {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Err(TextProblem::Utf16),
        [0xef, 0xbb, 0xbf, ..] => {
            line.drain(..3);
            Ok(&[0xef, 0xbb, 0xbf])
        }
        _ => Ok(&[]),
    }
}

#[cfg(test)]
mod tests;

//! Reads a file of which an earlier state is known: only documents that are not the same are
//! parsed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use super::super::FEW_DOCUMENTS;
use super::super::document::{Contents, DocumentReader};
use super::super::documents::{Document, Documents, StreamError};
use super::super::extent::Extent;
use super::super::problem::Problem;
use super::super::side_by_side;
use super::file::{Entry, Held, Patch, Patched, Place};
use super::unchanged::{self, Section};
use crate::source::api::convert::Interner;

/// Files with fewer documents are read from the start: there is nothing to gain.
const WORTH_COMPARING: usize = 16;

/// Reads one file.
pub(super) struct FileReader<'a> {
    pub(super) name: &'a Arc<str>,
    pub(super) strict: bool,
    pub(super) names: &'a mut Interner,
    /// The documents as they were, and what was behind them.
    pub(super) before: &'a [Entry],
    pub(super) tail: Extent,
}

/// What a file holds now.
pub(super) struct Reading {
    pub(super) patch: Patch,
    pub(super) tail: Extent,
    /// What new documents hold, in their order.
    pub(super) contents: Vec<Contents>,
    pub(super) errors: Vec<StreamError>,
}

impl FileReader<'_> {
    /// Reads a regular file; what is the same at its front and back only to see that.
    pub(super) fn file(&mut self, file: &File) -> Reading {
        if self.before.len() < WORTH_COMPARING {
            return self.stream(file);
        }
        self.compare(file).unwrap_or_else(|error| Reading {
            patch: Patch::default(),
            tail: Extent::of(b""),
            contents: Vec::new(),
            errors: vec![StreamError {
                document: None,
                problem: Problem::Io {
                    action: "read",
                    error,
                },
            }],
        })
    }

    fn compare(&mut self, file: &File) -> io::Result<Reading> {
        let same = unchanged::find(file, self.before, self.tail)?;
        let begun = same
            .front
            .checked_sub(1)
            .and_then(|last| self.before.get(last));
        let begun = begun.map_or(0, |last| last.at.number);
        let line = self.before.get(same.front).map_or(1, |next| next.at.line);
        let section = Section::new(file, same.from, same.to);
        let documents = Documents::going_on(section, begun, line.into());
        let end = self.before.len() - same.back;
        let (mut reading, end_place) = self.documents(documents, same.front..end);
        let patch = &mut reading.patch;
        if let Some(first) = self.before.get(end) {
            // What is behind did not change, but may have moved.
            let last = end.checked_sub(1).and_then(|last| self.before.get(last));
            let number = last.map_or(0, |last| last.at.number);
            patch.back = same.back;
            patch.numbers = i64::from(end_place.number) - i64::from(number);
            patch.lines = i64::from(end_place.line) - i64::from(first.at.line);
            reading.tail = self.tail;
        } else if same.all {
            reading.tail = self.tail;
        }
        Ok(reading)
    }

    /// Reads a stream from its start.
    pub(super) fn stream(&mut self, stream: impl Read) -> Reading {
        let count = self.before.len();
        self.documents(Documents::new(stream), 0..count).0
    }

    /// Reads documents, of which those in a range are known.
    fn documents(
        &mut self,
        documents: Documents<impl Read>,
        known: std::ops::Range<usize>,
    ) -> (Reading, Place) {
        let middle = RefCell::new(Vec::new());
        let mut unknown = Unknown {
            documents,
            before: Before::new(self.before, known.clone()),
            middle: &middle,
        };
        let mut outcomes = Vec::new();
        // Most files end here; threads would only cost them time.
        for document in unknown.by_ref().take(FEW_DOCUMENTS) {
            let mut reader = DocumentReader {
                file: Arc::clone(self.name),
                strict: self.strict,
                names: self.names,
            };
            outcomes.push(document.map(|document| reader.read(&document)));
        }
        let threads = side_by_side::threads();
        side_by_side::read(
            unknown.by_ref(),
            self.name,
            self.strict,
            threads,
            |outcome| {
                outcomes.push(outcome);
            },
        );
        let (number, line, tail) = unknown.documents.place();
        let mut middle = middle.into_inner();
        let mut new = middle.iter_mut().filter_map(|patched| match patched {
            Patched::New(entry) => Some(entry),
            Patched::Same(..) => None,
        });
        let (mut contents, mut errors) = (Vec::new(), Vec::new());
        for outcome in outcomes {
            match outcome {
                Ok(outcome) => {
                    if let Some(entry) = new.next() {
                        entry.held = Held::all(&outcome);
                    }
                    contents.push(outcome);
                }
                Err(error) => errors.push(error),
            }
        }
        let patch = Patch {
            front: known.start,
            middle,
            ..Patch::default()
        };
        let reading = Reading {
            patch,
            tail,
            contents,
            errors,
        };
        let line = u32::try_from(line).unwrap_or(u32::MAX);
        (reading, Place { number, line })
    }
}

/// The documents that were not there before; all of them are entered in the middle of the patch.
struct Unknown<'a, R> {
    documents: Documents<R>,
    before: Before<'a>,
    middle: &'a RefCell<Vec<Patched>>,
}

impl<R: Read> Iterator for Unknown<'_, R> {
    type Item = Result<Document, StreamError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let document = match self.documents.next()? {
                Ok(document) => document,
                Err(error) => return Some(Err(error)),
            };
            let at = Place {
                number: document.number,
                line: u32::try_from(document.extent_line).unwrap_or(u32::MAX),
            };
            let mut middle = self.middle.borrow_mut();
            if let Some(same) = self.before.take(document.extent) {
                middle.push(Patched::Same(same, at));
                continue;
            }
            middle.push(Patched::New(Entry {
                hash: document.extent.hash,
                bytes: document.extent.bytes,
                at,
                held: Box::default(),
            }));
            return Some(Ok(document));
        }
    }
}

/// The documents of before, each to be found once.
struct Before<'a> {
    entries: &'a [Entry],
    /// The one that comes next if nothing changed, and the end.
    range: std::ops::Range<usize>,
    /// Where the others are, from the first difference on.
    places: Option<HashMap<u128, Vec<usize>>>,
}

impl<'a> Before<'a> {
    fn new(entries: &'a [Entry], range: std::ops::Range<usize>) -> Self {
        Self {
            entries,
            range,
            places: None,
        }
    }

    fn take(&mut self, extent: Extent) -> Option<usize> {
        if self.places.is_none() {
            let index = self.range.start;
            if self.range.is_empty() {
                return None;
            }
            if self.entries.get(index)?.hash == extent.hash {
                self.range.start += 1;
                return Some(index);
            }
        }
        let places = self.places.get_or_insert_with(|| {
            let mut places: HashMap<u128, Vec<usize>> = HashMap::new();
            for index in self.range.clone().rev() {
                if let Some(entry) = self.entries.get(index) {
                    places.entry(entry.hash).or_default().push(index);
                }
            }
            places
        });
        places.get_mut(&extent.hash)?.pop()
    }
}

#[cfg(test)]
mod tests;

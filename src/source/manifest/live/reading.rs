//! Reads a file of which an earlier state is known: only documents that are not the same are
//! parsed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use twox_hash::XxHash3_128;

use super::super::FEW_DOCUMENTS;
use super::super::document::{Contents, DocumentReader};
use super::super::documents::{Document, Documents, StreamError};
use super::super::side_by_side;
use super::file::Entry;
use crate::source::api::convert::Interner;

/// What a document of the file is.
#[derive(Debug)]
pub(super) enum Reading {
    /// The document at this place before, with its number now.
    Same(usize, u32),
    /// Another one.
    New {
        hash: u128,
        number: u32,
        contents: Contents,
    },
}

/// Reads a stream.
pub(super) fn read(
    file: &Arc<str>,
    stream: impl Read,
    before: &[Entry],
    strict: bool,
    names: &mut Interner,
) -> (Vec<Reading>, Vec<StreamError>) {
    let readings = RefCell::new(Vec::new());
    let mut unknown = Unknown {
        documents: Documents::new(stream),
        before: Before::new(before),
        readings: &readings,
    };
    let mut outcomes = Vec::new();
    // Most files end here; threads would only cost them time.
    for document in unknown.by_ref().take(FEW_DOCUMENTS) {
        let mut reader = DocumentReader {
            file: Arc::clone(file),
            strict,
            names,
        };
        outcomes.push(document.map(|document| reader.read(&document)));
    }
    let threads = side_by_side::threads();
    side_by_side::read(unknown, file, strict, threads, |outcome| {
        outcomes.push(outcome);
    });
    let mut readings = readings.into_inner();
    let mut open = readings.iter_mut().filter_map(|reading| match reading {
        Reading::New { contents, .. } => Some(contents),
        Reading::Same(..) => None,
    });
    let mut errors = Vec::new();
    for outcome in outcomes {
        match outcome {
            Ok(outcome) => {
                if let Some(contents) = open.next() {
                    *contents = outcome;
                }
            }
            Err(error) => errors.push(error),
        }
    }
    (readings, errors)
}

/// The documents that were not there before; all of them are entered in the readings.
struct Unknown<'a, R> {
    documents: Documents<R>,
    before: Before<'a>,
    readings: &'a RefCell<Vec<Reading>>,
}

impl<R: Read> Iterator for Unknown<'_, R> {
    type Item = Result<Document, StreamError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let document = match self.documents.next()? {
                Ok(document) => document,
                Err(error) => return Some(Err(error)),
            };
            let hash = XxHash3_128::oneshot(document.text.as_bytes());
            let mut readings = self.readings.borrow_mut();
            if let Some(same) = self.before.take(hash) {
                readings.push(Reading::Same(same, document.number));
                continue;
            }
            readings.push(Reading::New {
                hash,
                number: document.number,
                contents: Contents::default(),
            });
            return Some(Ok(document));
        }
    }
}

/// The documents of before, each to be found once.
struct Before<'a> {
    entries: &'a [Entry],
    /// The one that comes next if nothing changed.
    next: usize,
    /// Where the others are, from the first difference on.
    places: Option<HashMap<u128, Vec<usize>>>,
}

impl<'a> Before<'a> {
    fn new(entries: &'a [Entry]) -> Self {
        Self {
            entries,
            next: 0,
            places: None,
        }
    }

    fn take(&mut self, hash: u128) -> Option<usize> {
        if self.places.is_none() {
            let place = self.next;
            if self.entries.get(place)?.hash == hash {
                self.next += 1;
                return Some(place);
            }
        }
        let places = self.places.get_or_insert_with(|| {
            let mut places: HashMap<u128, Vec<usize>> = HashMap::new();
            for (place, entry) in self.entries.iter().enumerate().skip(self.next).rev() {
                places.entry(entry.hash).or_default().push(place);
            }
            places
        });
        places.get_mut(&hash)?.pop()
    }
}

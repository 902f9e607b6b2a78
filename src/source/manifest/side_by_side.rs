//! Long streams: documents are read by several threads at once, and come out in order.
//!
//! Owns the threads and the bound on what is under way. Must not know what is in a document.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use super::document::{Contents, DocumentReader};
use super::documents::{Document, StreamError};
use crate::source::api::convert::Interner;

/// Text handed to a thread at once: enough that handing it over does not count.
const BATCH_BYTES: usize = 128 << 10;
/// Text under way at most, beyond the one batch that may always be.
const WINDOW_BYTES: usize = 8 << 20;
/// Batches that wait for each thread at most.
const WINDOW_BATCHES: usize = 4;
/// More threads than this only wait for the one that cuts the stream.
const MAX_THREADS: usize = 8;

/// What came out of one document, or the error in its place.
pub(super) type Outcome = Result<Contents, StreamError>;

type Batch = Vec<Result<Document, StreamError>>;

struct Worker {
    batches: Sender<Batch>,
    outcomes: Receiver<Vec<Outcome>>,
}

/// Threads that are worth starting on this machine; 1 means none.
pub(super) fn threads() -> usize {
    thread::available_parallelism().map_or(1, |n| n.get().min(MAX_THREADS))
}

/// Reads documents with so many threads and gives each outcome to the sink, in the order of the
/// documents.
pub(super) fn read(
    documents: impl Iterator<Item = Result<Document, StreamError>>,
    file: &Arc<str>,
    strict: bool,
    threads: usize,
    mut sink: impl FnMut(Outcome),
) {
    let mut batches = Batches(documents).enumerate().peekable();
    if batches.peek().is_none() {
        return;
    }
    thread::scope(|scope| {
        let workers: Vec<Worker> = (0..threads)
            .map(|_| {
                let (batches, incoming) = mpsc::channel();
                let (outgoing, outcomes) = mpsc::channel();
                scope.spawn(move || work(&incoming, &outgoing, file, strict));
                Worker { batches, outcomes }
            })
            .collect();
        // Batches go round, so the oldest one under way is always known to be whose.
        let mut under_way: VecDeque<(usize, usize)> = VecDeque::new();
        let mut bytes_under_way = 0;
        let mut take_oldest = |under_way: &mut VecDeque<(usize, usize)>| {
            let (worker, bytes) = under_way.pop_front()?;
            workers[worker]
                .outcomes
                .recv()
                .ok()?
                .into_iter()
                .for_each(&mut sink);
            Some(bytes)
        };
        for (number, (bytes, batch)) in batches {
            while under_way.len() >= threads * WINDOW_BATCHES
                || (bytes_under_way + bytes > WINDOW_BYTES && !under_way.is_empty())
            {
                let Some(bytes) = take_oldest(&mut under_way) else {
                    return;
                };
                bytes_under_way -= bytes;
            }
            let worker = number % threads;
            if workers[worker].batches.send(batch).is_err() {
                return;
            }
            under_way.push_back((worker, bytes));
            bytes_under_way += bytes;
        }
        while take_oldest(&mut under_way).is_some() {}
    });
}

fn work(batches: &Receiver<Batch>, outcomes: &Sender<Vec<Outcome>>, file: &Arc<str>, strict: bool) {
    let mut names = Interner::default();
    let mut reader = DocumentReader {
        file: Arc::clone(file),
        strict,
        names: &mut names,
    };
    for batch in batches {
        let read = |document: Result<Document, StreamError>| document.map(|d| reader.read(&d));
        if outcomes
            .send(batch.into_iter().map(read).collect())
            .is_err()
        {
            return;
        }
    }
}

/// Documents in batches of about equal size, with their size.
struct Batches<D>(D);

impl<D: Iterator<Item = Result<Document, StreamError>>> Iterator for Batches<D> {
    type Item = (usize, Batch);

    fn next(&mut self) -> Option<Self::Item> {
        let mut batch = Batch::new();
        let mut bytes = 0;
        while bytes < BATCH_BYTES {
            let Some(document) = self.0.next() else { break };
            bytes += document.as_ref().map_or(0, |document| document.text.len());
            batch.push(document);
        }
        (!batch.is_empty()).then_some((bytes, batch))
    }
}

#[cfg(test)]
mod tests {
    use super::super::documents::Documents;
    use super::*;

    #[test]
    fn outcomes_come_in_the_order_of_the_documents() {
        let text: String = (0..5000)
            .map(|i| {
                let padding = "x".repeat(i % 97);
                format!("---\nkind: Namespace\n# {padding}\nmetadata: {{name: n{i}}}\n")
            })
            .collect();
        for threads in [1, 3] {
            let mut numbers = Vec::new();
            let documents = Documents::new(text.as_bytes());
            read(documents, &"test".into(), false, threads, |outcome| {
                let contents = outcome.unwrap();
                numbers.extend(contents.errors.iter().filter_map(|e| e.origin.document));
            });
            assert_eq!(numbers, (1..=5000).collect::<Vec<u32>>());
        }
    }
}

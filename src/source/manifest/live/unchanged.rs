//! What of a file is the same as when it was last read, found by hashing and not by looking at
//! lines: twenty megabytes take milliseconds.
//!
//! Must not split into documents; but relies on how that is done: where an extent starts with a
//! separator line, what is before it has no influence on what follows.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::super::extent::Extent;
use super::super::lines::LineKind;
use super::file::Entry;

/// Files from this size on are looked at from both ends at once.
const WORTH_A_THREAD: u64 = 1 << 20;
/// How much is read at a time.
const WINDOW: usize = 256 << 10;
/// Enough of a line to tell whether it separates documents.
const LINE: usize = 4096;

/// The documents at both ends of a file that need no second look, and the bytes between.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unchanged {
    /// Nothing changed at all.
    pub(super) all: bool,
    pub(super) front: usize,
    pub(super) back: usize,
    /// What has to be split again.
    pub(super) from: u64,
    pub(super) to: u64,
}

/// Compares a file with its documents as they were.
pub(super) fn find(file: &File, before: &[Entry], tail: Extent) -> io::Result<Unchanged> {
    let size = file.metadata()?.len();
    let before_size = before.iter().map(|entry| entry.bytes).sum::<u64>() + tail.bytes;
    let looked_at = AtomicUsize::new(0);
    let front = || Scan::new(file, before, &looked_at).front();
    let back = || Scan::new(file, before, &looked_at).back(size, tail);
    let (front, back) = if size >= WORTH_A_THREAD {
        thread::scope(|scope| {
            let other = scope.spawn(back);
            let front = front();
            // A thread that panicked found nothing.
            (front, other.join().unwrap_or(None))
        })
    } else {
        (front(), back())
    };
    let same_tail = back.is_some();
    let back = back.unwrap_or_default();
    let all = same_tail && front + back == before.len() && size == before_size;
    // With no document in it, nothing was compared yet.
    if all && !before.is_empty() {
        return Ok(Unchanged {
            all,
            front: before.len(),
            back: 0,
            from: size - tail.bytes,
            to: size - tail.bytes,
        });
    }
    let scan = Scan::new(file, before, &looked_at);
    let (front, from) = scan.resume(front)?;
    let (back, to) = scan.stop(back, from, size, tail)?;
    Ok(Unchanged {
        all: false,
        front,
        back,
        from,
        to,
    })
}

struct Scan<'a> {
    file: &'a File,
    before: &'a [Entry],
    /// Documents that one of the two scans has looked at, so that they do not pass each other.
    looked_at: &'a AtomicUsize,
}

impl<'a> Scan<'a> {
    fn new(file: &'a File, before: &'a [Entry], looked_at: &'a AtomicUsize) -> Self {
        Self {
            file,
            before,
            looked_at,
        }
    }

    fn is_mine(&self) -> bool {
        self.looked_at.fetch_add(1, Ordering::Relaxed) < self.before.len()
    }

    /// How many documents at the front are the same.
    fn front(&self) -> usize {
        let mut window = Window::new(self.file);
        let mut offset = 0;
        let mut same = 0;
        for entry in self.before {
            if !self.is_mine() || !window.is(offset, entry.bytes, entry.hash, true) {
                break;
            }
            offset += entry.bytes;
            same += 1;
        }
        same
    }

    /// How many documents at the back are the same; `None` if what is behind them is not.
    fn back(&self, size: u64, tail: Extent) -> Option<usize> {
        let mut window = Window::new(self.file);
        let mut end = size.checked_sub(tail.bytes)?;
        if !window.is(end, tail.bytes, tail.hash, false) {
            return None;
        }
        let mut same = 0;
        for entry in self.before.iter().rev() {
            let Some(start) = end.checked_sub(entry.bytes) else {
                break;
            };
            if !self.is_mine() || !window.is(start, entry.bytes, entry.hash, false) {
                break;
            }
            end = start;
            same += 1;
        }
        Some(same)
    }

    /// Where to begin to split: with a document that is the same, since what follows it may have
    /// become part of it, and at the start of a line.
    fn resume(&self, same: usize) -> io::Result<(usize, u64)> {
        let mut front = same.saturating_sub(1);
        let documents = self.before.iter().take(front);
        let mut offset = documents.map(|entry| entry.bytes).sum();
        while front > 0 && !self.is_line_start(offset)? {
            front -= 1;
            offset -= self.before[front].bytes;
        }
        Ok((front, offset))
    }

    /// Where to stop: at the second separator among what is the same, since what is between may
    /// have become part of the document that the first one begins.
    fn stop(&self, same: usize, from: u64, size: u64, tail: Extent) -> io::Result<(usize, u64)> {
        let count = self.before.len();
        let documents = self.before.iter().skip(count - same);
        let bytes = documents.map(|entry| entry.bytes).sum::<u64>() + tail.bytes;
        let mut offset = size.saturating_sub(bytes);
        let mut separators = 0;
        for index in count - same..count {
            if offset >= from && self.is_separator(offset)? {
                separators += 1;
                if separators == 2 {
                    return Ok((count - index, offset));
                }
            }
            offset += self.before[index].bytes;
        }
        Ok((0, size))
    }

    fn is_line_start(&self, offset: u64) -> io::Result<bool> {
        let Some(before) = offset.checked_sub(1) else {
            return Ok(true);
        };
        let mut byte = [0];
        self.file.read_exact_at(&mut byte, before)?;
        Ok(byte == *b"\n")
    }

    fn is_separator(&self, offset: u64) -> io::Result<bool> {
        let mut line = [0; LINE];
        let read = self.file.read_at(&mut line, offset)?;
        let line = line[..read].split_inclusive(|&byte| byte == b'\n').next();
        let line = line.filter(|line| line.ends_with(b"\n"));
        let separates = line.is_some_and(|line| {
            matches!(
                LineKind::of(line),
                LineKind::Start | LineKind::StartWithContent | LineKind::End
            )
        });
        Ok(separates && self.is_line_start(offset)?)
    }
}

/// A part of a file that was read.
struct Window<'a> {
    file: &'a File,
    bytes: Vec<u8>,
    start: u64,
    filled: usize,
}

impl<'a> Window<'a> {
    fn new(file: &'a File) -> Self {
        Self {
            file,
            bytes: Vec::new(),
            start: 0,
            filled: 0,
        }
    }

    /// Whether these bytes of the file have this hash. `forward` tells what will be asked next.
    fn is(&mut self, offset: u64, length: u64, hash: u128, forward: bool) -> bool {
        let Ok(length) = usize::try_from(length) else {
            return false;
        };
        let bytes = self.bytes(offset, length, forward);
        bytes.is_some_and(|bytes| Extent::of(bytes).hash == hash)
    }

    fn bytes(&mut self, offset: u64, length: usize, forward: bool) -> Option<&[u8]> {
        if let Some(place) = self.place(offset, length) {
            return self.bytes.get(place..place + length);
        }
        let want = length.max(WINDOW);
        self.start = if forward {
            offset
        } else {
            offset.saturating_sub((want - length) as u64)
        };
        self.bytes.resize(self.bytes.len().max(want), 0);
        self.filled = 0;
        while self.filled < want {
            let at = self.start + self.filled as u64;
            match self.file.read_at(&mut self.bytes[self.filled..want], at) {
                Ok(0) => break,
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        let place = self.place(offset, length)?;
        self.bytes.get(place..place + length)
    }

    fn place(&self, offset: u64, length: usize) -> Option<usize> {
        let place = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        (place + length <= self.filled).then_some(place)
    }
}

/// A part of a file, as a stream.
pub(super) struct Section<'a> {
    file: &'a File,
    from: u64,
    to: u64,
}

impl<'a> Section<'a> {
    pub(super) fn new(file: &'a File, from: u64, to: u64) -> Self {
        Self { file, from, to }
    }
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.to.saturating_sub(self.from)).unwrap_or(usize::MAX);
        let want = buffer.len().min(left);
        let read = self.file.read_at(&mut buffer[..want], self.from)?;
        self.from += read as u64;
        Ok(read)
    }
}

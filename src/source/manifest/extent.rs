//! The bytes of a stream that belong to a document: its own, and what was between it and the one
//! before (comments, end markers, empty documents). Their hashes tell later whether they changed.
//!
//! Must not keep bytes.

use twox_hash::XxHash3_128;

/// Some bytes of a stream, by what they hash to. Extents of a stream follow one another without a
/// gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) hash: u128,
    pub(super) bytes: u64,
}

impl Default for Extent {
    fn default() -> Self {
        Self::of(b"")
    }
}

impl Extent {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self {
            hash: XxHash3_128::oneshot(bytes),
            bytes: bytes.len() as u64,
        }
    }
}

/// Measures an extent piece by piece.
pub(super) struct Measure {
    hasher: XxHash3_128,
    bytes: u64,
}

impl Default for Measure {
    fn default() -> Self {
        Self {
            hasher: XxHash3_128::new(),
            bytes: 0,
        }
    }
}

impl Measure {
    pub(super) fn add(&mut self, piece: &[u8]) {
        self.hasher.write(piece);
        self.bytes += piece.len() as u64;
    }

    /// The extent so far; the next one begins.
    pub(super) fn end(&mut self) -> Extent {
        let done = std::mem::take(self);
        Extent {
            hash: done.hasher.finish_128(),
            bytes: done.bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_measure_as_the_whole() {
        let text: Vec<u8> = (0..2000u32).flat_map(u32::to_le_bytes).collect();
        let mut measure = Measure::default();
        text.chunks(7).for_each(|piece| measure.add(piece));
        assert_eq!(measure.end(), Extent::of(&text));
        assert_eq!(measure.end(), Extent::of(b""));
    }
}

//! Free values of a range: which are taken, and which is the next free one.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::range::Bands;

/// The values of one range, by position.
///
/// Holds only what is taken, so a /64 costs no more than a /24. Every taken position points towards
/// the next free one and the pointers are shortened as they are followed (a disjoint-set forest), so
/// that a scan over a long run of taken values is cheap.
#[derive(Debug)]
pub(super) struct Pool {
    bands: Bands,
    next: HashMap<u128, u128>,
}

impl Pool {
    pub(super) fn new(bands: Bands) -> Self {
        Self {
            bands,
            next: HashMap::new(),
        }
    }

    /// Takes a position that is known to lie in the range; nothing changes if it was taken.
    pub(super) fn take(&mut self, position: u128) {
        self.next.entry(position).or_insert(position + 1);
    }

    /// Takes the first free position at or after the one that `name` hashes to, with wrap: in the
    /// dynamic band, then in the static one. `None` if the range is full.
    pub(super) fn take_next(&mut self, name: &str) -> Option<u128> {
        let Bands {
            usable,
            static_size,
        } = self.bands;
        let hash = stable_hash(name);
        let position = self
            .first_free(static_size, usable, hash)
            .or_else(|| self.first_free(0, static_size, hash))?;
        self.take(position);
        Some(position)
    }

    /// First free position of `from..to`, starting at a place given by `hash`.
    fn first_free(&mut self, from: u128, to: u128, hash: u128) -> Option<u128> {
        let start = from + hash.checked_rem(to.checked_sub(from)?)?;
        let upwards = self.follow(start);
        if upwards < to {
            return Some(upwards);
        }
        let wrapped = self.follow(from);
        (wrapped < start).then_some(wrapped)
    }

    /// The first free position at or after `position`; may lie past the range's end.
    fn follow(&mut self, position: u128) -> u128 {
        let mut free = position;
        while let Some(next) = self.next.get(&free) {
            free = *next;
        }
        let mut step = position;
        while let Some(next) = self.next.get_mut(&step) {
            step = std::mem::replace(next, free);
        }
        free
    }
}

/// The first 128 bits of a text's SHA-256: the same on every machine and in every build, which
/// Rust's own hashers do not promise.
pub(super) fn stable_hash(text: &str) -> u128 {
    let digest = Sha256::digest(text.as_bytes());
    digest
        .iter()
        .take(16)
        .fold(0, |value, byte| value << 8 | u128::from(*byte))
}

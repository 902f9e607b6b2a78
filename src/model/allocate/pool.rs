//! Free values of a range: which are taken, and which is the next free one.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::range::Bands;

/// The values of one range, by position.
///
/// Holds only what is taken, so a /64 costs no more than a /24, and it as runs of neighbours: a
/// scan over a long run of taken values is one step, and every operation costs the logarithm of
/// the number of runs.
#[derive(Debug)]
pub(super) struct Pool {
    bands: Bands,
    /// First position of a run and the one after its last. Runs neither meet nor overlap.
    taken: BTreeMap<u128, u128>,
}

impl Pool {
    pub(super) fn new(bands: Bands) -> Self {
        Self {
            bands,
            taken: BTreeMap::new(),
        }
    }

    /// Takes a position that is known to lie in the range; nothing changes if it was taken.
    pub(super) fn take(&mut self, position: u128) {
        if self.follow(position) != position {
            return;
        }
        let (mut from, mut to) = (position, position + 1);
        if let Some((&before, &end)) = self.taken.range(..position).next_back()
            && end == position
        {
            from = before;
        }
        if let Some(after) = self.taken.remove(&(position + 1)) {
            to = after;
        }
        self.taken.insert(from, to);
    }

    /// Gives a position back; nothing changes if it was free.
    pub(super) fn release(&mut self, position: u128) {
        let Some((&from, &to)) = self.taken.range(..=position).next_back() else {
            return;
        };
        if position >= to {
            return;
        }
        self.taken.remove(&from);
        if from < position {
            self.taken.insert(from, position);
        }
        if position + 1 < to {
            self.taken.insert(position + 1, to);
        }
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
    fn first_free(&self, from: u128, to: u128, hash: u128) -> Option<u128> {
        let start = from + hash.checked_rem(to.checked_sub(from)?)?;
        let upwards = self.follow(start);
        if upwards < to {
            return Some(upwards);
        }
        let wrapped = self.follow(from);
        (wrapped < start).then_some(wrapped)
    }

    /// The first free position at or after `position`; may lie past the range's end.
    fn follow(&self, position: u128) -> u128 {
        let run = self.taken.range(..=position).next_back();
        run.map_or(position, |(_, &end)| end.max(position))
    }
}

/// The first 128 bits of a text's SHA-256: the same on every machine and in every build, which
/// Rust's own hashers do not promise.
pub(crate) fn stable_hash(text: &str) -> u128 {
    let digest = Sha256::digest(text.as_bytes());
    digest
        .iter()
        .take(16)
        .fold(0, |value, byte| value << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taken_and_released_values_are_what_a_plain_set_says() {
        let bands = Bands {
            usable: 40,
            static_size: 10,
        };
        let mut pool = Pool::new(bands);
        let mut plain = std::collections::BTreeSet::new();
        // A fixed walk that takes more than it releases, then the other way round.
        for step in 0..4000_u128 {
            let position = stable_hash(&step.to_string()) % 40;
            if (step / 200) % 2 == u128::from(step % 3 == 0) {
                pool.take(position);
                plain.insert(position);
            } else {
                pool.release(position);
                plain.remove(&position);
            }
            for from in 0..40 {
                let free = (from..).find(|p| !plain.contains(p)).unwrap();
                assert_eq!(pool.follow(from), free, "step {step}");
            }
            let joined = pool.taken.values().any(|end| pool.taken.contains_key(end));
            assert!(!joined, "runs that meet are one: {:?}", pool.taken);
        }
    }
}

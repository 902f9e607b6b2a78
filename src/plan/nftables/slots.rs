//! Slots: the numbers that tell the endpoints of a front end apart, so that a random number finds
//! one of them (`docs/nftables-layout.md`, "Slots").
//!
//! Pure arithmetic; order of slots carries no meaning, but a range must have no holes.

/// The longest list whose size is part of its slot numbers.
pub const SMALL: usize = 16;
/// The longest list at all; further endpoints get no traffic.
pub const MOST: usize = 65_536;
/// First slot of a list longer than [`SMALL`].
pub const LARGE_BASE: u32 = 100_000;
/// Added to the slots and sizes of lists of policy Local.
pub const LOCAL: u32 = 1_000_000;

/// Which of a front end's two lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum List {
    /// Endpoints of the whole cluster (or the only list of a cluster IP).
    Cluster,
    /// Endpoints of this node, for policy Local.
    Local,
}

impl List {
    fn offset(self) -> u32 {
        match self {
            Self::Cluster => 0,
            Self::Local => LOCAL,
        }
    }
}

/// The first slot of a list of `n` endpoints, 0 < n ≤ [`MOST`].
#[must_use]
pub fn base(list: List, n: usize) -> u32 {
    if n > SMALL {
        list.offset() + LARGE_BASE
    } else {
        list.offset() + power(n)
    }
}

/// The element of `sizes` of a list of `n` endpoints; `None` for a short list.
#[must_use]
pub fn size(list: List, n: usize) -> Option<u32> {
    (n > SMALL).then(|| list.offset() + power(n))
}

/// The first slot of the range that a slot belongs to. Two lists of a front end are of the same
/// size class exactly if this is the same.
#[must_use]
pub fn base_of(slot: u32) -> u32 {
    let offset = if slot >= LOCAL { LOCAL } else { 0 };
    let rest = slot - offset;
    if rest >= LARGE_BASE {
        offset + LARGE_BASE
    } else {
        offset + rest.checked_ilog2().map_or(0, |bits| 1 << bits)
    }
}

/// The smallest power of two that holds n.
fn power(n: usize) -> u32 {
    u32::try_from(n.min(MOST).next_power_of_two()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_the_slots_from_the_smallest_power_of_two_that_holds_it() {
        let table: [(usize, u32, Option<u32>); 12] = [
            (1, 1, None),
            (2, 2, None),
            (3, 4, None),
            (4, 4, None),
            (5, 8, None),
            (8, 8, None),
            (9, 16, None),
            (16, 16, None),
            (17, 100_000, Some(32)),
            (64, 100_000, Some(64)),
            (65, 100_000, Some(128)),
            (4097, 100_000, Some(8192)),
        ];
        for (n, first, power) in table {
            assert_eq!(base(List::Cluster, n), first, "{n}");
            assert_eq!(base(List::Local, n), first + 1_000_000, "{n}");
            assert_eq!(size(List::Cluster, n), power, "{n}");
            assert_eq!(size(List::Local, n), power.map(|p| p + 1_000_000), "{n}");
        }
    }

    #[test]
    fn every_slot_of_a_list_leads_back_to_its_first() {
        for n in (1..=17).chain([64, 65, 4097, MOST]) {
            for list in [List::Cluster, List::Local] {
                let first = base(list, n);
                let last = first + u32::try_from(n).unwrap() - 1;
                for slot in [first, last] {
                    assert_eq!(base_of(slot), first, "{n} {slot}");
                }
            }
        }
    }
}

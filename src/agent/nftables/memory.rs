//! The affinity memory, which packets fill: what a change makes it forget.
//!
//! A client of an endpoint that is gone loses one packet and is forgotten by the table itself; here
//! it is spared that, as far as that is cheap. A front end whose outside traffic is to stay on this
//! node from now on needs it: the table cannot tell that a remembered endpoint, which is still good
//! for pods, is elsewhere (`docs/nftables-layout.md`).

use std::collections::HashSet;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use crate::kernel::nft::{NftBatch as _, NftKernel, ReadError};
use crate::plan::nftables::{AFFINITY, AFFINITY_ENDPOINTS_PREFIX, TableDelta};
use crate::plan::op::{Element, Op, SetRef, TableRef};
use crate::translate::nftables::{FrontEnd, Update, affinity_endpoint, affinity_entry, front_end};

/// Clients up to which the memory is listed where that is a courtesy; it takes the square of their
/// number.
const LISTED: u32 = 50_000;
/// Entries expire while they are deleted, and the kernel then refuses all of them.
const ATTEMPTS: u32 = 5;
/// Between attempts to read, for others or for the kernel's growing of the hash table.
const PAUSE: Duration = Duration::from_millis(2);

/// What a change makes one table's memory forget.
#[derive(Debug)]
pub(super) struct Stale {
    table: TableRef,
    gone: HashSet<(FrontEnd, SocketAddr)>,
    became_local: HashSet<FrontEnd>,
}

impl Stale {
    /// By an update of a table that is held in memory.
    pub(super) fn of_update(table: TableRef, update: &Update) -> Self {
        Self {
            table,
            gone: update.gone.iter().copied().collect(),
            became_local: update.became_local.iter().copied().collect(),
        }
    }

    /// By a change of which nothing else is known.
    pub(super) fn of_delta(delta: &TableDelta) -> Self {
        let pairs = delta.elements.iter();
        let pairs = pairs.filter(|change| change.set.starts_with(AFFINITY_ENDPOINTS_PREFIX));
        let (mut gone, mut kept) = (HashSet::new(), HashSet::new());
        for change in pairs {
            let decode = |element: &Element| affinity_endpoint(&element.key);
            gone.extend(change.deleted.iter().filter_map(decode));
            // With another timeout they are in another set.
            kept.extend(change.added.iter().filter_map(decode));
        }
        gone.retain(|pair| !kept.contains(pair));
        let local = delta.elements.iter();
        let local = local.filter(|change| &*change.set == "local-policy");
        let local = local.flat_map(|change| &change.added);
        Self {
            table: delta.table.clone(),
            gone,
            became_local: local.filter_map(|e| front_end(&e.key)).collect(),
        }
    }

    /// Deletes the entries of a table that is as it should be by now. Gives the generation after
    /// that, if there were any.
    pub(super) fn forget<K: NftKernel>(&self, kernel: &mut K) -> Option<u32> {
        if self.gone.is_empty() && self.became_local.is_empty() {
            return None;
        }
        for _ in 0..ATTEMPTS {
            match self.entries(kernel) {
                Ok(entries) if entries.is_empty() => return None,
                Ok(entries) => {
                    let count = entries.len();
                    if let Some(generation) = self.delete(kernel, entries) {
                        tracing::debug!(count, "clients forgotten");
                        return Some(generation);
                    }
                }
                Err(ReadError::Interrupted) => thread::sleep(PAUSE),
                Err(error) => {
                    tracing::debug!(%error, "the affinity memory cannot be read");
                    break;
                }
            }
        }
        if !self.became_local.is_empty() {
            tracing::warn!(
                "clients remembered from before externalTrafficPolicy: Local may be sent to \
                 other nodes until the affinity timeout"
            );
        }
        None
    }

    fn delete<K: NftKernel>(&self, kernel: &mut K, elements: Vec<Element>) -> Option<u32> {
        let mut batch = kernel.batch(None);
        let set = self.set();
        batch.push(&Op::DeleteElements { set, elements }).ok()?;
        Some(kernel.commit(batch).ok()?.generation)
    }

    fn set(&self) -> SetRef {
        SetRef {
            table: self.table.clone(),
            name: AFFINITY.into(),
        }
    }

    fn concerns(&self, entry: &(FrontEnd, SocketAddr)) -> bool {
        self.became_local.contains(&entry.0) || self.gone.contains(entry)
    }

    /// The entries that are to go, as far as they are worth finding.
    fn entries<K: NftKernel>(&self, kernel: &mut K) -> Result<Vec<Element>, ReadError> {
        let set = self.set();
        let mut count = None;
        kernel.dump_sets(&self.table, &mut |view| {
            if view.name == AFFINITY {
                count = view.count;
            }
        })?;
        let many = count.is_some_and(|count| count > LISTED);
        let mut stale = Vec::new();
        if count == Some(0) || (many && self.became_local.is_empty()) {
            return Ok(stale);
        }
        kernel.dump_elements(&set, &mut |view| {
            let entry = affinity_entry(view.key, view.data);
            if entry.is_some_and(|entry| self.concerns(&entry)) {
                let mut element = view.to_element();
                element.data = None;
                stale.push(element);
            }
        })?;
        Ok(stale)
    }
}

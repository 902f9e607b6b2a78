//! The affinity memory, which packets fill: clients of an endpoint that is gone are forgotten.
//!
//! The table does that by itself, at the price of one lost packet for each such client
//! (`docs/nftables-layout.md`). Here they are spared it, as far as that is cheap.

use std::collections::HashSet;

use crate::kernel::Socket;
use crate::kernel::nft::NftKernel;
use crate::plan::nftables::{AFFINITY, NftRuleset};
use crate::plan::op::{Element, Op, SetRef};
use crate::translate::nftables::{LiveTable, Update, affinity_entry};

/// Clients up to which the memory is listed; it takes the square of their number.
const LISTED: u32 = 50_000;

/// Deletes the entries of clients whose endpoint is gone. Failing is no harm.
pub(super) fn forget(socket: &mut Socket, tables: &[LiveTable], updates: &[Update]) {
    for (table, update) in tables.iter().zip(updates) {
        if !table.has_affinity() || (update.gone.is_empty() && update.became_local.is_empty()) {
            continue;
        }
        let gone = stale(socket, table, update);
        if gone.is_empty() {
            continue;
        }
        let set = memory(table);
        let mut batch = socket.batch(None);
        // An entry that expires meanwhile makes the kernel refuse all of them: then the table
        // forgets them one by one.
        let pushed = batch.push(&Op::DeleteElements {
            set,
            elements: gone,
        });
        let done = pushed.is_ok() && NftKernel::commit(socket, batch).is_ok();
        tracing::debug!(done, "clients of endpoints that are gone");
    }
}

fn memory(table: &LiveTable) -> SetRef {
    SetRef {
        table: table.table(),
        name: AFFINITY.into(),
    }
}

/// The entries that lead to an endpoint their front end has no more.
fn stale(socket: &mut Socket, table: &LiveTable, update: &Update) -> Vec<Element> {
    let set = memory(table);
    let mut few = true;
    let counted = socket.dump_sets(&set.table, &mut |view| {
        if view.name == AFFINITY {
            few = view.count.is_none_or(|count| count <= LISTED);
        }
    });
    if counted.is_err() || !few {
        return Vec::new();
    }
    let gone: HashSet<_> = update.gone.iter().collect();
    let mut stale = Vec::new();
    let listed = socket.dump_elements(&set, &mut |view| {
        if let Some((front_end, endpoint)) = affinity_entry(view.key, view.data) {
            let moved = update.became_local.contains(&front_end);
            if moved || gone.contains(&(front_end, endpoint)) {
                let mut element = view.to_element();
                element.data = None;
                stale.push(element);
            }
        }
    });
    if listed.is_err() {
        stale.clear();
    }
    stale
}

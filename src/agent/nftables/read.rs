//! Reading a table back.
//!
//! A dump of a set costs the kernel the square of its elements, so that large sets are asked for
//! by key: the keys that should be there, and the number of elements tells whether there are
//! others (ADR 0005).

use std::sync::Arc;

use crate::kernel::nft::{NftKernel, ReadError};
use crate::plan::nftables::{AFFINITY, TableState, comment_of};
use crate::plan::op::{Hook, SetRef, TableRef};

/// Up to this many elements a set is dumped: 0.3 s of kernel time on 2 GHz cores.
const DUMPED: u32 = 65_536;
/// Keys in one question.
const KEYS: usize = 4096;

/// Reads the table that should be as `desired`; `None` if there is none.
///
/// A large set that has other elements than the desired ones comes back without its specification,
/// as if it were of another layout: replacing the table is quicker than finding them.
///
/// # Errors
/// See [`ReadError`].
pub fn read_table<K: NftKernel>(
    kernel: &mut K,
    desired: &TableState,
) -> Result<Option<TableState>, ReadError> {
    let Some((mut state, counts)) = read_objects(kernel, &desired.table)? else {
        return Ok(None);
    };
    for (name, count) in counts {
        if &*name != AFFINITY {
            read_elements(kernel, desired, &mut state, &name, count)?;
        }
    }
    Ok(Some(state))
}

/// Names of sets and maps, each with the number of its elements where the kernel tells it.
pub(super) type SetCounts = Vec<(Arc<str>, Option<u32>)>;

/// Reads a table without its elements; `None` if there is none.
///
/// # Errors
/// See [`ReadError`].
pub(super) fn read_objects<K: NftKernel>(
    kernel: &mut K,
    table: &TableRef,
) -> Result<Option<(TableState, SetCounts)>, ReadError> {
    let mut state = TableState::new(table.clone());
    if !read_itself(kernel, &mut state)? {
        return Ok(None);
    }
    let mut counts = SetCounts::new();
    kernel.dump_sets(table, &mut |view| {
        // Nameless sets belong to the rule that they came with.
        if !view.name.starts_with("__") {
            state.add_set(view.name, view.spec());
            counts.push((view.name.into(), view.count));
        }
    })?;
    kernel.dump_chains(table, &mut |view| {
        let hook = view.base.map(|base| Hook {
            chain_type: chain_type(base.chain_type),
            hook: base.hook,
            priority: base.priority,
        });
        state.add_chain(view.name, hook);
        if view.base.is_some_and(|base| !base.policy_accept) {
            let flaw = format!("chain {}: policy drop", view.name);
            state.flaws.push(flaw);
        }
    })?;
    kernel.dump_rules(table, None, &mut |view| {
        state.add_rule(view.chain, view.body);
    })?;
    Ok(Some((state, counts)))
}

/// Whether the table is there, and what is wrong with it as a whole.
fn read_itself<K: NftKernel>(kernel: &mut K, state: &mut TableState) -> Result<bool, ReadError> {
    let mut found = false;
    let table = state.table.clone();
    kernel.dump_tables(table.family, &mut |view| {
        if *view.name != *table.name {
            return;
        }
        found = true;
        if view.dormant {
            state.flaws.push("dormant".to_owned());
        }
        match view.comment {
            Some(comment) if comment == comment_of(view.name) => {}
            Some(other) => state.flaws.push(format!("another layout: {other:?}")),
            None => state.flaws.push("another layout: no comment".to_owned()),
        }
    })?;
    Ok(found)
}

fn read_elements<K: NftKernel>(
    kernel: &mut K,
    desired: &TableState,
    state: &mut TableState,
    name: &Arc<str>,
    count: Option<u32>,
) -> Result<(), ReadError> {
    let set = SetRef {
        table: desired.table.clone(),
        name: Arc::clone(name),
    };
    if count.is_none_or(|count| count <= DUMPED) {
        return kernel.dump_elements(&set, &mut |view| {
            state.add_element(name, view.to_element());
        });
    }
    let wanted = desired.sets.get(name).map(|set| &set.elements);
    let wanted = wanted.filter(|w| u32::try_from(w.len()).ok() == count);
    let mut others = wanted.is_none();
    let keys: Vec<&[u8]> = wanted
        .into_iter()
        .flat_map(|elements| elements.keys().map(|key| &*key.key))
        .collect();
    for some in keys.chunks(KEYS) {
        kernel.get_elements(&set, some, &mut |_, view| match view {
            Some(view) => state.add_element(name, view.to_element()),
            None => others = true,
        })?;
        if others {
            break;
        }
    }
    if others && let Some(set) = state.sets.get_mut(name) {
        set.spec.userdata = Box::default();
        set.elements.clear();
    }
    Ok(())
}

/// The kernel knows three types; `route` is none of this layout's.
fn chain_type(name: &str) -> &'static str {
    match name {
        "nat" => "nat",
        "filter" => "filter",
        _ => "route",
    }
}

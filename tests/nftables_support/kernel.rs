//! Tables as the kernel has them.

use portolan::kernel::Socket;
use portolan::kernel::nft::{
    NftKernel, ReadError, dump_chains, dump_rules, dump_sets, read_consistently,
};
use portolan::plan::nftables::TableState;
use portolan::plan::op::{Hook, Op, SetRef, TableRef};

/// Commits steps in one transaction.
pub(crate) fn commit(socket: &mut Socket, ops: &[Op]) {
    let mut batch = socket.batch(None);
    for op in ops {
        batch.push(op).unwrap();
    }
    socket.commit(batch).unwrap();
}

/// Reads a table whole.
pub(crate) fn read(socket: &mut Socket, table: &TableRef) -> TableState {
    read_consistently(socket, |socket| read_once(socket, table))
        .unwrap()
        .1
}

fn read_once(socket: &mut Socket, table: &TableRef) -> Result<TableState, ReadError> {
    let mut state = TableState::new(table.clone());
    dump_sets(socket, table, &mut |view| {
        if !view.name.starts_with("__") {
            state.add_set(view.name, view.spec());
        }
    })?;
    dump_chains(socket, table, &mut |view| {
        let hook = view.base.map(|base| Hook {
            chain_type: if base.chain_type == "nat" {
                "nat"
            } else {
                "filter"
            },
            hook: base.hook,
            priority: base.priority,
        });
        state.add_chain(view.name, hook);
    })?;
    dump_rules(socket, table, None, &mut |view| {
        state.add_rule(view.chain, view.body);
    })?;
    for name in state.sets.keys().cloned().collect::<Vec<_>>() {
        let set = SetRef {
            table: table.clone(),
            name: name.clone(),
        };
        let visit = &mut |view: portolan::kernel::nft::ElementView<'_>| {
            state.add_element(&name, view.to_element());
        };
        socket.dump_elements(&set, visit)?;
    }
    Ok(state)
}

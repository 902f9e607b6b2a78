//! The nftables mode's table in real network namespaces: written over netlink, and as text.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]

mod kernel_support;
mod nftables_support;

use kernel_support::{in_new_netns, run, socket};
use nftables_support::{example, options, steps};
use portolan::kernel::Socket;
use portolan::kernel::nft::{NftKernel, dump_chains, dump_rules, dump_sets};
use portolan::plan::nftables::{NftRuleset, TableState, deviations, plan, text};
use portolan::plan::op::{Hook, SetRef, TableRef};
use portolan::translate::nftables::NftablesRuleset;

fn read(socket: &mut Socket, table: &TableRef) -> TableState {
    let mut state = TableState::new(table.clone());
    dump_sets(socket, table, &mut |view| {
        if !view.name.starts_with("__") {
            state.add_set(view.name, view.spec());
        }
    })
    .unwrap();
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
    })
    .unwrap();
    dump_rules(socket, table, None, &mut |view| {
        state.add_rule(view.chain, view.body);
    })
    .unwrap();
    for name in state.sets.keys().cloned().collect::<Vec<_>>() {
        let set = SetRef {
            table: table.clone(),
            name: name.clone(),
        };
        let visit = &mut |view: portolan::kernel::nft::ElementView<'_>| {
            state.add_element(&name, view.to_element());
        };
        socket.dump_elements(&set, visit).unwrap();
    }
    state
}

#[test]
fn what_is_written_over_netlink_reads_back_as_desired() {
    in_new_netns(|| {
        let (snapshot, options) = (example(true), options());
        let ruleset = NftablesRuleset::new(&snapshot, &options);
        let desired = TableState::of(&ruleset);
        let mut socket = socket();
        let mut batch = socket.batch(None);
        for op in steps(&plan(&desired, None)) {
            batch.push(&op).unwrap();
        }
        socket.commit(batch).unwrap();
        let present = read(&mut socket, &ruleset.table());
        let plan = plan(&desired, Some(&present));
        assert_eq!(deviations(&plan, Some(&present)), Vec::<String>::new());
        assert!(plan.is_empty());
        run("nft", &["list", "ruleset"]);
    });
}

#[test]
fn the_text_loads_in_nft_as_the_same_table() {
    in_new_netns(|| {
        let (snapshot, options) = (example(false), options());
        let ruleset = NftablesRuleset::new(&snapshot, &options);
        let path = std::env::temp_dir().join(format!("portolan-{}.nft", std::process::id()));
        std::fs::write(&path, text::ruleset(&ruleset)).unwrap();
        run("nft", &["-f", path.to_str().unwrap()]);
        std::fs::remove_file(&path).unwrap();
        let present = read(&mut socket(), &ruleset.table());
        let desired = TableState::of(&ruleset);
        for (name, set) in &desired.sets {
            assert_eq!(present.sets[name], *set, "{name}");
        }
        let plan = plan(&desired, Some(&present));
        assert_eq!(deviations(&plan, Some(&present)), Vec::<String>::new());
        assert!(plan.is_empty());
    });
}

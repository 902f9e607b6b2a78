//! The nftables mode's table in real network namespaces: written over netlink, and as text.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]

mod kernel_support;
mod nftables_support;

use kernel_support::{in_new_netns, run, socket};
use nftables_support::kernel::read;
use nftables_support::{example, options, steps};
use portolan::kernel::nft::NftKernel;
use portolan::plan::nftables::{NftRuleset, TableState, deviations, plan, text};
use portolan::translate::nftables::NftablesRuleset;

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

//! What only the nftables mode has: a table of its own, that `nft` lists and changes.

mod affinity;
mod claims;
mod counters;
mod diff;
mod large;
mod neighbours;
mod replace;
mod verify;

use crate::support::Testbed;

impl Testbed {
    /// Runs `nft` on the node with a script of its own; gives its output.
    pub(crate) fn nft(&self, script: &str) -> String {
        let node = &self.node.namespace;
        node.run_with_input("nft", &["-f", "-"], &(script.to_owned() + "\n"))
    }

    /// The table of a family, as `nft list table` shows it.
    pub(crate) fn listed(&self, family: &str) -> String {
        let list = ["list", "table", family, "portolan"];
        self.node.namespace.run("nft", &list)
    }
}

//! The same rules by way of text: `nft -f` and `iptables-restore`.
//!
//! For a change they are given only what differs, which somebody must have worked out; that is not
//! charged to them.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::Bench;
use crate::cluster::Cluster;
use crate::manifests::State;
use crate::measure::measure;
use crate::namespace;
use crate::result::{Case, Mode, Sample, Tool};
use crate::text::{iptables_changes, nft_changes};

/// With more Services only the first changes are measured: rendering the rules takes its time.
const ALL_CHANGES_UP_TO: u32 = 10_000;

/// Changes from one state of the cluster to another.
const CHANGES: [(Case, State, State); 4] = [
    (Case::Endpoint, State::Base, State::Moved),
    (Case::ServiceAdded, State::Moved, State::Added),
    (Case::ServiceRemoved, State::Added, State::Moved),
    (Case::Rolling, State::Moved, State::Rolled),
];

/// How one tool is called.
struct Calls {
    tool: Tool,
    mode: Mode,
    load: &'static [&'static str],
    change: &'static [&'static str],
    differ: fn(&str, &str) -> String,
}

/// `nft -f`.
pub(super) fn nft(bench: &mut Bench<'_>, cluster: &Cluster) -> anyhow::Result<()> {
    let calls = Calls {
        tool: Tool::Nft,
        mode: Mode::Nftables,
        load: &["nft", "-f", "-"],
        change: &["nft", "-f", "-"],
        differ: nft_changes,
    };
    calls.load(bench, cluster)?;
    calls.changes(bench, cluster)
}

/// `iptables-restore`, which replaces whole tables or keeps what is there.
pub(super) fn iptables_restore(
    bench: &mut Bench<'_>,
    cluster: &Cluster,
    tool: Tool,
) -> anyhow::Result<()> {
    let noflush = tool == Tool::IptablesRestoreNoflush;
    let calls = Calls {
        tool,
        mode: Mode::Iptables,
        load: if noflush {
            &["iptables-restore", "--noflush"]
        } else {
            &["iptables-restore"]
        },
        change: &["iptables-restore", "--noflush"],
        differ: iptables_changes,
    };
    calls.load(bench, cluster)?;
    if noflush {
        // The changes are the same call as those of the other.
        return Ok(());
    }
    calls.changes(bench, cluster)
}

impl Calls {
    fn load(&self, bench: &mut Bench<'_>, cluster: &Cluster) -> anyhow::Result<()> {
        let settings = bench.settings;
        let rules = cluster.rules(self.mode, State::Base)?;
        bench.repeat(cluster, Case::Cold, self.tool, settings.runs, |_| {
            namespace::fresh()?;
            self.call(settings.limit, self.load, &rules)
        })
    }

    fn call(
        &self,
        limit: std::time::Duration,
        words: &[&str],
        input: &Path,
    ) -> anyhow::Result<Sample> {
        let command: Vec<OsString> = words.iter().map(Into::into).collect();
        Ok(measure(&command, Some(input), limit)?.into())
    }

    fn changes(&self, bench: &mut Bench<'_>, cluster: &Cluster) -> anyhow::Result<()> {
        let settings = bench.settings;
        let large = cluster.shape.services > ALL_CHANGES_UP_TO;
        let wanted: Vec<_> = CHANGES
            .iter()
            .filter(|(case, ..)| settings.wants(case.group()))
            .filter(|(case, ..)| !large || *case == Case::Endpoint)
            .collect();
        if wanted.is_empty() || bench.stopped(cluster, Case::Cold, self.tool) {
            return Ok(());
        }
        namespace::fresh()?;
        let base = cluster.rules(self.mode, State::Base)?;
        if self.call(settings.limit, self.load, &base)?.stopped {
            return Ok(());
        }
        let mut present = State::Base;
        for (case, from, to) in wanted {
            if present != *from {
                self.call(
                    settings.limit,
                    self.change,
                    &self.difference(cluster, present, *from)?,
                )?;
            }
            let there = self.difference(cluster, *from, *to)?;
            let back = self.difference(cluster, *to, *from)?;
            bench.repeat(cluster, *case, self.tool, settings.runs, |run| {
                if run > 0 {
                    self.call(settings.limit, self.change, &back)?;
                }
                self.call(settings.limit, self.change, &there)
            })?;
            present = *to;
        }
        Ok(())
    }

    fn difference(&self, cluster: &Cluster, from: State, to: State) -> anyhow::Result<PathBuf> {
        let name = format!("{}-{}-{}.txt", self.mode.name(), from.name(), to.name());
        let path = cluster.path(&name);
        if !path.exists() {
            let [old, new] = [from, to].map(|state| cluster.rules(self.mode, state));
            let (old, new) = (fs::read_to_string(old?)?, fs::read_to_string(new?)?);
            fs::write(&path, (self.differ)(&old, &new))?;
        }
        Ok(path)
    }
}

//! `portolan apply`: a process for each change, which reads the manifests and the kernel.

use std::path::Path;

use super::Bench;
use crate::cluster::Cluster;
use crate::manifests::State;
use crate::measure::measure;
use crate::namespace;
use crate::result::{Case, Mode, Sample, Tool};
use crate::settings::Group;

/// Cold, again, and with one endpoint changed, all in one namespace a run.
pub(super) fn run(bench: &mut Bench<'_>, cluster: &Cluster, mode: Mode) -> anyhow::Result<()> {
    let tool = Tool::apply(mode);
    let settings = bench.settings;
    let [base, moved] = [State::Base, State::Moved].map(|state| cluster.one_file(state));
    let (base, moved) = (base?, moved?);
    let apply = |manifests: &Path, run: usize| -> anyhow::Result<Sample> {
        let state = format!("state-apply-{mode:?}-{run}");
        let mut command = vec![settings.portolan.clone().into_os_string()];
        command.extend(cluster.arguments("apply", mode, manifests, &state));
        Ok(measure(&command, None, settings.limit)?.into())
    };
    let mut later = Vec::new();
    let mut stopped = false;
    bench.repeat(cluster, Case::Cold, tool, settings.runs, |run| {
        namespace::fresh()?;
        let cold = apply(&base, run)?;
        stopped |= cold.stopped;
        if !cold.stopped && settings.wants(Group::Restart) {
            later.push((Case::Restart, apply(&base, run)?));
        }
        if !cold.stopped && settings.wants(Group::Change) {
            later.push((Case::EndpointOneFile, apply(&moved, run)?));
        }
        Ok(cold)
    })?;
    for (case, sample) in later {
        bench.add(cluster, case, tool, sample);
    }
    Ok(())
}

//! The cases, one file for each kind of tool, and the order in which they are run.
//!
//! The agent first and the slow ones last, each at all sizes, so that whatever there is no time for
//! is what matters least.

mod agents;
mod apply;
mod served;
mod text_tools;

use std::io::{IsTerminal, Write};

use crate::cluster::Cluster;
use crate::result::{Case, LeftOut, Measured, Mode, Results, Sample, Tool};
use crate::settings::{Group, Settings};
use crate::{data_path, namespace};

/// The iptables modes are not measured with more Services: rules by the million.
const MOST_FOR_IPTABLES: u32 = 20_000;
/// How many Services the data path is measured with.
const DATA_PATH: u32 = 10_000;

/// Runs everything.
pub(crate) fn run(settings: &Settings) -> anyhow::Result<Results> {
    let mut bench = Bench {
        settings,
        results: Results::default(),
    };
    namespace::remember_home()?;
    let clusters = settings.sizes.iter();
    let clusters: Vec<Cluster> = clusters
        .map(|services| Cluster::new(settings, *services))
        .collect::<anyhow::Result<_>>()?;
    for mode in Mode::ALL {
        bench.each(&clusters, Tool::run(mode), |bench, cluster| {
            agents::run(bench, cluster, mode)
        });
        if mode == Mode::Nftables {
            bench.data_path();
        }
    }
    bench.each(&clusters, Tool::Nft, text_tools::nft);
    for mode in Mode::ALL {
        bench.each(&clusters, Tool::apply(mode), |bench, cluster| {
            apply::run(bench, cluster, mode)
        });
    }
    for tool in [Tool::IptablesRestore, Tool::IptablesRestoreNoflush] {
        bench.each(&clusters, tool, |bench, cluster| {
            text_tools::iptables_restore(bench, cluster, tool)
        });
    }
    if settings.kube_proxy.is_some() {
        for cluster in &clusters {
            if let Err(error) = served::run(&mut bench, cluster) {
                let (what, services) = ("with an API server", cluster.shape.services);
                bench.left_out(what, services, &format!("{error:#}"));
            }
        }
    } else {
        bench.results.left_out.push(LeftOut {
            what: "with an API server".to_owned(),
            services: Vec::new(),
            why: "KUBE_PROXY_BIN and KUBECONFIG were not set".to_owned(),
        });
    }
    progress("");
    bench.results.sort();
    Ok(bench.results)
}

/// What the cases work with.
pub(crate) struct Bench<'a> {
    pub(crate) settings: &'a Settings,
    results: Results,
}

impl Bench<'_> {
    /// Measures a tool at every size it can take. Where it fails, the others go on.
    fn each(
        &mut self,
        clusters: &[Cluster],
        tool: Tool,
        mut measure: impl FnMut(&mut Self, &Cluster) -> anyhow::Result<()>,
    ) {
        if !self.settings.uses(tool) {
            return;
        }
        for cluster in clusters {
            let services = cluster.shape.services;
            progress_line(&format!("{services} services: {}", tool.title()));
            let outcome = match self.reason_against(tool, services) {
                Some(reason) => Err(anyhow::anyhow!(reason)),
                None => measure(self, cluster),
            };
            if let Err(error) = outcome {
                self.left_out(tool.title(), services, &format!("{error:#}"));
            }
        }
    }

    fn reason_against(&self, tool: Tool, services: u32) -> Option<String> {
        if tool.is_iptables() && services > MOST_FOR_IPTABLES {
            return Some("rules by the million".to_owned());
        }
        let mut rows = self.results.rows.iter();
        if let Some(row) =
            rows.find(|row| row.tool == tool && row.case == Case::Cold && row.stopped())
        {
            let (most, limit) = (row.services, self.settings.limit.as_secs());
            return Some(format!("stopped after {limit} s with {most} services"));
        }
        (!self.settings.in_time()).then(|| "no time left (--minutes)".to_owned())
    }

    fn left_out(&mut self, what: &str, services: u32, why: &str) {
        progress("");
        eprintln!("not measured: {what}, {services} services: {why}");
        let mut known = self.results.left_out.iter_mut();
        match known.find(|left| left.what == what && left.why == why) {
            Some(left) => left.services.push(services),
            None => self.results.left_out.push(LeftOut {
                what: what.to_owned(),
                services: vec![services],
                why: why.to_owned(),
            }),
        }
    }

    /// Runs a case some times, as long as there is time.
    pub(crate) fn repeat(
        &mut self,
        cluster: &Cluster,
        case: Case,
        tool: Tool,
        runs: usize,
        mut one: impl FnMut(usize) -> anyhow::Result<Sample>,
    ) -> anyhow::Result<()> {
        if !self.settings.wants(case.group()) {
            return Ok(());
        }
        let begun = std::time::Instant::now();
        for run in 0..runs {
            progress(&format!(
                "{} services: {}, {}, run {} of {runs}",
                cluster.shape.services,
                tool.title(),
                case.title(),
                run + 1,
            ));
            let sample = one(run)?;
            self.results.add(cluster.shape, case, tool, sample);
            // What was stopped once would be stopped again; what takes long varies little.
            if sample.stopped || begun.elapsed() > ENOUGH {
                break;
            }
        }
        Ok(())
    }

    /// A case did not end within the limit.
    pub(crate) fn stopped(&self, cluster: &Cluster, case: Case, tool: Tool) -> bool {
        let row = self.results.find(cluster.shape.services, case, tool);
        row.is_some_and(Measured::stopped)
    }

    /// Notes a sample that was taken on the way.
    pub(crate) fn add(&mut self, cluster: &Cluster, case: Case, tool: Tool, sample: Sample) {
        self.results.add(cluster.shape, case, tool, sample);
    }

    fn data_path(&mut self) {
        if !self.settings.wants(Group::DataPath) {
            return;
        }
        let most = self.settings.sizes.iter().copied().max().unwrap_or(0);
        let services = most.min(DATA_PATH);
        progress(&format!("{services} services: connections"));
        match data_path::run(self.settings, services) {
            Ok(connects) => self.results.connects = connects,
            Err(error) => self.left_out("connections", services, &format!("{error:#}")),
        }
    }
}

/// A case is not run again after this time.
const ENOUGH: std::time::Duration = std::time::Duration::from_secs(12);

/// Shows what is begun where there is no terminal: a line now and then.
fn progress_line(text: &str) {
    if !std::io::stderr().is_terminal() {
        eprintln!("{text}");
    }
}

/// Shows on a terminal what is being done, in one line.
pub(crate) fn progress(text: &str) {
    let mut out = std::io::stderr();
    if out.is_terminal() {
        // Only decoration: a terminal that is gone is no reason to stop.
        let _ = write!(out, "\r\x1b[K{text}").and_then(|()| out.flush());
    }
}

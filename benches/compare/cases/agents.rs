//! `portolan run`: from its start to rules in the kernel, and from a changed file to changed rules.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::Bench;
use crate::agent::{Agent, Metrics, Ready};
use crate::cluster::Cluster;
use crate::generation::Generation;
use crate::manifests::State;
use crate::namespace;
use crate::result::{Case, Mode, Sample, Tool};
use crate::settings::Group;

/// Time without work after which memory is what the agent keeps.
const STEADY: Duration = Duration::from_secs(2);
/// Changes are cheap to repeat, and small: many of them make a good median.
const CHANGES: usize = 20;
/// A change that comes in one commit.
const AT_ONCE: Duration = Duration::ZERO;
/// How often a repair is asked for its end, at least.
const REPAIRING: Duration = Duration::from_millis(50);
const REPAIRS: &str = "portolan_repairs_total";
/// More Services than this in one file are left to those with one file for each.
const MOST_IN_ONE_FILE: u32 = 10_000;

/// Everything about one mode at one size.
pub(super) fn run(bench: &mut Bench<'_>, cluster: &Cluster, mode: Mode) -> anyhow::Result<()> {
    let tool = Tool::run(mode);
    let directory = cluster.directory().context("cannot write manifests")?;
    cold(bench, cluster, mode, &directory)?;
    let wanted = |group| bench.settings.wants(group);
    let on_a_running_one = [Group::Change, Group::Service, Group::Rolling, Group::Repair];
    if on_a_running_one.into_iter().any(wanted) {
        namespace::fresh()?;
        let mut running = Running::start(bench, cluster, mode, &directory)?;
        changes(bench, cluster, tool, &mut running)?;
        if mode == Mode::Nftables {
            repairs(bench, cluster, tool, &mut running)?;
        }
        running.agent.stop()?;
    }
    if bench.settings.wants(Group::Change)
        && mode == Mode::Nftables
        && cluster.shape.services <= MOST_IN_ONE_FILE
    {
        one_file(bench, cluster, tool)?;
    }
    Ok(())
}

/// Cold starts and, on the same kernel state, restarts.
fn cold(
    bench: &mut Bench<'_>,
    cluster: &Cluster,
    mode: Mode,
    directory: &Path,
) -> anyhow::Result<()> {
    let tool = Tool::run(mode);
    let (settings, limit) = (bench.settings, bench.settings.limit);
    let arguments =
        |run| cluster.arguments("run", mode, directory, &format!("state-{mode:?}-{run}"));
    if settings.wants(Group::Cold) || settings.wants(Group::Restart) {
        let mut restarts = Vec::new();
        bench.repeat(cluster, Case::Cold, tool, settings.runs, |run| {
            namespace::fresh()?;
            let cold = start_and_stop(settings.portolan.as_path(), &arguments(run), limit)?;
            if !cold.stopped && settings.wants(Group::Restart) {
                restarts.push(start_and_stop(&settings.portolan, &arguments(run), limit)?);
            }
            Ok(cold)
        })?;
        for sample in restarts {
            bench.add(cluster, Case::Restart, tool, sample);
        }
    }
    Ok(())
}

/// One start, and what the agent has used once nothing is left to do.
fn start_and_stop(
    program: &Path,
    arguments: &[std::ffi::OsString],
    limit: Duration,
) -> anyhow::Result<Sample> {
    let mut agent = Agent::start(program, arguments)?;
    let Some(wall) = agent.ready(&Ready::Notify, limit)? else {
        return Ok(Sample::stopped_after(limit));
    };
    let (cpu, kernel) = (agent.cpu()?, agent.kernel_cpu()?);
    let metrics = Metrics::read().context("no metrics")?;
    thread::sleep(STEADY);
    let sample = Sample {
        wall_seconds: wall.as_secs_f64(),
        cpu_seconds: Some(cpu.as_secs_f64()),
        kernel_seconds: Some(kernel),
        sync_seconds: Some(metrics.most(SYNC)),
        commit_seconds: Some(metrics.sum(COMMIT)),
        messages: Some(metrics.sum(MESSAGES)),
        peak_megabytes: Some(agent.memory("VmHWM")?),
        steady_megabytes: Some(agent.memory("VmRSS")?),
        stopped: false,
    };
    agent.stop()?;
    Ok(sample)
}

const SYNC: &str = "kubeproxy_sync_proxy_rules_duration_seconds_sum";
const COMMIT: &str = "portolan_commit_seconds_sum";
const MESSAGES: &str = "portolan_commit_messages_total";

/// An agent with everything in the kernel.
struct Running {
    agent: Agent,
    kernel: Generation,
    /// It waits as long between two commits.
    pause: Duration,
    limit: Duration,
}

impl Running {
    fn start(
        bench: &Bench<'_>,
        cluster: &Cluster,
        mode: Mode,
        manifests: &Path,
    ) -> anyhow::Result<Self> {
        let kernel = Generation::open()?;
        let state = format!("state-{mode:?}-changes");
        let arguments = cluster.arguments("run", mode, manifests, &state);
        let limit = bench.settings.limit;
        let mut agent = Agent::start(&bench.settings.portolan, &arguments)?;
        if agent.ready(&Ready::Notify, limit)?.is_none() {
            bail!("not ready after {} s", limit.as_secs());
        }
        let pause = match mode {
            Mode::Nftables => Duration::from_millis(50),
            Mode::Iptables => Duration::from_millis(1100),
        };
        Ok(Self {
            agent,
            kernel,
            pause,
            limit,
        })
    }

    /// Makes a change and waits until it is in the kernel, and nothing more follows within `quiet`.
    fn change(
        &mut self,
        quiet: Duration,
        act: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<Sample> {
        self.change_until(quiet, |_| true, act)
    }

    /// The same, but what follows counts until it is over, by the metrics from before.
    fn change_until(
        &mut self,
        quiet: Duration,
        over: impl Fn(&Metrics) -> bool,
        act: impl FnOnce() -> anyhow::Result<()>,
    ) -> anyhow::Result<Sample> {
        thread::sleep(self.pause);
        self.agent.idle()?;
        let before = Metrics::read()?;
        let (cpu, kernel) = (self.agent.cpu()?, self.agent.kernel_cpu()?);
        let generation = self.kernel.now()?;
        let begun = Instant::now();
        act()?;
        let Some(done) = self
            .kernel
            .settled(generation, quiet, || over(&before), self.limit)?
        else {
            return Ok(Sample::stopped_after(self.limit));
        };
        self.agent.idle()?;
        let (cpu_after, kernel_after) = (self.agent.cpu()?, self.agent.kernel_cpu()?);
        let after = Metrics::read()?;
        Ok(Sample {
            wall_seconds: (done - begun).as_secs_f64(),
            cpu_seconds: Some(cpu_after.saturating_sub(cpu).as_secs_f64()),
            kernel_seconds: Some(kernel_after - kernel),
            sync_seconds: Some(after.most(SYNC) - before.most(SYNC)),
            commit_seconds: Some(after.sum(COMMIT) - before.sum(COMMIT)),
            messages: Some(after.sum(MESSAGES) - before.sum(MESSAGES)),
            ..Sample::default()
        })
    }
}

/// The changes, one after the other, on one running agent. Each case leaves the directory as the
/// next one wants it.
fn changes(
    bench: &mut Bench<'_>,
    cluster: &Cluster,
    tool: Tool,
    running: &mut Running,
) -> anyhow::Result<()> {
    let (shape, runs) = (cluster.shape, bench.settings.runs);
    let many = if runs == 1 { 2 } else { runs.max(CHANGES) };
    let mut round = 0;
    bench.repeat(cluster, Case::Endpoint, tool, many, |_| {
        round += 1;
        let put = cluster.aside(shape.middle(), 1, round)?;
        running.change(AT_ONCE, || Ok(put()?))
    })?;
    let mut removals = Vec::new();
    bench.repeat(cluster, Case::ServiceAdded, tool, many, |_| {
        let put = cluster.aside(shape.services, 0, 0)?;
        let added = running.change(AT_ONCE, || Ok(put()?))?;
        removals.push(running.change(AT_ONCE, || Ok(cluster.remove(shape.services)?))?);
        Ok(added)
    })?;
    for sample in removals {
        bench.add(cluster, Case::ServiceRemoved, tool, sample);
    }
    bench.repeat(cluster, Case::Rolling, tool, runs, |_| {
        round += 1;
        let files = shape
            .rolled()
            .map(|service| cluster.aside(service, shape.endpoints, round));
        let files: Vec<_> = files.collect::<anyhow::Result<_>>()?;
        running.change(running.pause * 2, || {
            for put in files {
                put()?;
            }
            Ok(())
        })
    })
}

/// Another program deletes the table: the time until it is back, `nft`'s own included.
fn repairs(
    bench: &mut Bench<'_>,
    cluster: &Cluster,
    tool: Tool,
    running: &mut Running,
) -> anyhow::Result<()> {
    let runs = bench.settings.runs.min(3);
    let repaired = |before: &Metrics| {
        Metrics::read().is_ok_and(|metrics| metrics.sum(REPAIRS) > before.sum(REPAIRS))
    };
    bench.repeat(cluster, Case::Repair, tool, runs, |_| {
        let sample = running.change_until(REPAIRING, repaired, || {
            let status = Command::new("nft")
                .args(["delete", "table", "ip", "portolan"])
                .status();
            if !status.context("cannot start nft")?.success() {
                bail!("nft could not delete the table");
            }
            Ok(())
        })?;
        if sample.messages.is_none_or(|messages| messages < 1.0) {
            bail!("the table was not repaired");
        }
        Ok(sample)
    })
}

/// One endpoint changed, where a file holds all Services and so is read again.
fn one_file(bench: &mut Bench<'_>, cluster: &Cluster, tool: Tool) -> anyhow::Result<()> {
    let [base, moved] = [State::Base, State::Moved].map(|state| cluster.one_file(state));
    let (base, moved) = (base?, moved?);
    let (target, aside) = (cluster.path("all.yaml"), cluster.path("aside.yaml"));
    std::fs::copy(&base, &target)?;
    namespace::fresh()?;
    let mut running = Running::start(bench, cluster, Mode::Nftables, &target)?;
    let runs = bench.settings.runs;
    bench.repeat(cluster, Case::EndpointOneFile, tool, runs, |run| {
        let next = if run % 2 == 0 { &moved } else { &base };
        std::fs::copy(next, &aside)?;
        running.change(AT_ONCE, || Ok(std::fs::rename(&aside, &target)?))
    })?;
    running.agent.stop()
}

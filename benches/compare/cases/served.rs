//! Agents that are told of Services by a real API server: portolan and, beside it, kube-proxy.
//!
//! Both get the same configuration file, and the same figures are taken of both.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::bail;

use crate::agent::{Agent, Metrics, Ready};
use crate::api_server::{ApiServer, Filled};
use crate::cases::Bench;
use crate::cluster::Cluster;
use crate::namespace;
use crate::result::{Case, Mode, Sample, Tool};
use crate::settings::Group;

/// Time without work after which memory is what it keeps.
const STEADY: Duration = Duration::from_secs(3);
/// How often an endpoint is changed.
const CHANGES: u32 = 5;
const SYNC: &str = "kubeproxy_sync_proxy_rules_duration_seconds_sum";
const SYNCS: &str = "kubeproxy_sync_proxy_rules_duration_seconds_count";
const LAST: &str = "kubeproxy_sync_proxy_rules_last_timestamp_seconds";

/// Cold start, restart, one endpoint changed: for every agent and mode that is asked for.
pub(crate) fn run(bench: &mut Bench<'_>, cluster: &Cluster) -> anyhow::Result<()> {
    let settings = bench.settings;
    let Some((kube_proxy, kubeconfig)) = &settings.kube_proxy else {
        bail!("KUBE_PROXY_BIN and KUBECONFIG were not set");
    };
    let tools = Mode::ALL.into_iter().flat_map(|mode| {
        let portolan = (Tool::served(mode), mode, &*settings.portolan, Some("run"));
        [
            portolan,
            (Tool::kube_proxy(mode), mode, &**kube_proxy, None),
        ]
    });
    let tools: Vec<_> = tools.filter(|tool| settings.uses(tool.0)).collect();
    if tools.is_empty() {
        return Ok(());
    }
    let server = ApiServer::of(kubeconfig)?;
    let filled = server.fill(cluster)?;
    for (tool, mode, program, verb) in tools {
        let of = Served {
            tool,
            mode,
            program,
            verb,
            server: &server,
            filled: &filled,
        };
        bench.each(std::slice::from_ref(cluster), tool, |bench, cluster| {
            of.measure(bench, cluster)
        });
    }
    Ok(())
}

/// One agent in one mode.
struct Served<'a> {
    tool: Tool,
    mode: Mode,
    program: &'a Path,
    verb: Option<&'static str>,
    server: &'a ApiServer,
    filled: &'a Filled<'a>,
}

impl Served<'_> {
    fn measure(&self, bench: &mut Bench<'_>, cluster: &Cluster) -> anyhow::Result<()> {
        let settings = bench.settings;
        let mut later = Vec::new();
        bench.repeat(cluster, Case::Cold, self.tool, settings.runs, |run| {
            namespace::fresh()?;
            let arguments = self.arguments(cluster)?;
            let (agent, sample) = self.started(&arguments, settings.limit)?;
            if let Some(agent) = agent {
                if run == 0 && settings.wants(Group::Change) {
                    for round in 1..=CHANGES {
                        let sample = self.change(cluster, &agent, round, settings.limit)?;
                        later.push((Case::Endpoint, sample));
                    }
                }
                agent.stop()?;
                if settings.wants(Group::Restart) {
                    let (agent, sample) = self.started(&arguments, settings.limit)?;
                    later.push((Case::Restart, sample));
                    agent.map_or(Ok(()), Agent::stop)?;
                }
            }
            Ok(sample)
        })?;
        for (case, sample) in later {
            bench.add(cluster, case, self.tool, sample);
        }
        Ok(())
    }

    /// Starts it and waits for its first sync; no agent if that took too long.
    fn started(
        &self,
        arguments: &[OsString],
        limit: Duration,
    ) -> anyhow::Result<(Option<Agent>, Sample)> {
        let mut agent = Agent::start(self.program, arguments)?;
        let Some(wall) = agent.ready(&Ready::Synced, limit)? else {
            return Ok((None, Sample::stopped_after(limit)));
        };
        let (cpu, kernel) = (agent.cpu()?, agent.kernel_cpu()?);
        let sync = Metrics::read()?.most(SYNC);
        thread::sleep(STEADY);
        let sample = Sample {
            wall_seconds: wall.as_secs_f64(),
            cpu_seconds: Some(cpu.as_secs_f64()),
            kernel_seconds: Some(kernel),
            sync_seconds: Some(sync),
            peak_megabytes: Some(agent.memory("VmHWM")?),
            steady_megabytes: Some(agent.memory("VmRSS")?),
            ..Sample::default()
        };
        Ok((Some(agent), sample))
    }

    /// Changes an endpoint, and waits until the agent says that its rules are in force: from
    /// sending the change to the API server, by the agent's own time of its last sync.
    fn change(
        &self,
        cluster: &Cluster,
        agent: &Agent,
        round: u32,
        limit: Duration,
    ) -> anyhow::Result<Sample> {
        let shape = cluster.shape;
        let changed = String::from_utf8(shape.service(shape.middle(), 1, round)?)?;
        agent.idle()?;
        let (before, cpu) = (Metrics::read()?, agent.cpu()?);
        let sent = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        self.filled.put(changed)?;
        let begun = Instant::now();
        while begun.elapsed() < limit {
            if Metrics::read()?.most(SYNCS) > before.most(SYNCS) {
                agent.idle()?;
                let after = Metrics::read()?;
                return Ok(Sample {
                    wall_seconds: after.most(LAST) - sent.as_secs_f64(),
                    cpu_seconds: Some(agent.cpu()?.saturating_sub(cpu).as_secs_f64()),
                    sync_seconds: Some(after.most(SYNC) - before.most(SYNC)),
                    ..Sample::default()
                });
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(Sample::stopped_after(limit))
    }

    /// Writes its configuration and starts carrying its connections; gives the arguments.
    fn arguments(&self, cluster: &Cluster) -> anyhow::Result<Vec<OsString>> {
        let (kubeconfig, path) = (cluster.path("kubeconfig"), cluster.path("kube-proxy.yaml"));
        fs::write(&kubeconfig, self.server.kubeconfig_here()?)?;
        let text = format!(
            "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n\
             mode: {}\nhostnameOverride: n0\nclusterCIDR: 10.0.0.0/9\n\
             metricsBindAddress: 127.0.0.1:10249\nhealthzBindAddress: 127.0.0.1:10256\n\
             conntrack: {{maxPerCore: 0, min: 0}}\nclientConnection: {{kubeconfig: {}}}\n",
            self.mode.name(),
            kubeconfig.display()
        );
        fs::write(&path, text)?;
        let configuration = format!("--config={}", path.display());
        let verb = self.verb.map(OsString::from).into_iter();
        Ok(verb.chain([configuration.into()]).collect())
    }
}

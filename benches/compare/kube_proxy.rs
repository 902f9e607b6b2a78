//! A real kube-proxy, with a real API server, where the user has them: `KUBE_PROXY_BIN`,
//! `KUBECONFIG`.
//!
//! The API server is filled by kubectl, which must be there too. kube-proxy runs in a network
//! namespace of its own like everything else; its connections to the API server are carried out
//! of it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::agent::{Agent, Metrics, Ready};
use crate::cases::Bench;
use crate::cluster::Cluster;
use crate::manifests::{NODE, State};
use crate::namespace;
use crate::result::{Case, Mode, Sample, Tool};
use crate::settings::Group;

/// Time without work after which memory is what it keeps.
const STEADY: Duration = Duration::from_secs(3);
const SYNC: &str = "kubeproxy_sync_proxy_rules_duration_seconds_sum";
const SYNCS: &str = "kubeproxy_sync_proxy_rules_duration_seconds_count";
/// kube-proxy waits up to 30 s for an address of its node, which an API server need not take from
/// the Node that it is given.
const ADDRESS: &str =
    r#"{"status":{"addresses":[{"type":"InternalIP","address":"192.168.10.100"}]}}"#;
/// Files that a kubeconfig may name beside itself.
const FILES: [&str; 3] = [
    "certificate-authority:",
    "client-certificate:",
    "client-key:",
];

/// Cold start, restart, one endpoint changed.
pub(crate) fn run(bench: &mut Bench<'_>, cluster: &Cluster, mode: Mode) -> anyhow::Result<()> {
    let settings = bench.settings;
    let Some((program, kubeconfig)) = &settings.kube_proxy else {
        bail!("KUBE_PROXY_BIN and KUBECONFIG are not set");
    };
    let tool = Tool::kube_proxy(mode);
    let server = ApiServer::of(kubeconfig)?;
    let filled = server.fill(cluster)?;
    let mut later = Vec::new();
    bench.repeat(cluster, Case::Cold, tool, settings.runs, |run| {
        namespace::fresh()?;
        let arguments = vec![configuration(cluster, &server, mode)?];
        let (agent, sample) = started(program, &arguments, settings.limit)?;
        if let Some(agent) = agent {
            if run == 0 && settings.wants(Group::Change) {
                later.push((Case::Endpoint, filled.change(&agent, settings.limit)?));
            }
            agent.stop()?;
            if settings.wants(Group::Restart) {
                let (agent, sample) = started(program, &arguments, settings.limit)?;
                later.push((Case::Restart, sample));
                agent.map_or(Ok(()), Agent::stop)?;
            }
        }
        Ok(sample)
    })?;
    for (case, sample) in later {
        bench.add(cluster, case, tool, sample);
    }
    Ok(())
}

/// Starts it and waits for its first sync; no agent if that took too long.
fn started(
    program: &Path,
    arguments: &[OsString],
    limit: Duration,
) -> anyhow::Result<(Option<Agent>, Sample)> {
    let mut agent = Agent::start(program, arguments)?;
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

/// Where the API server is, as the user's kubeconfig has it.
struct ApiServer {
    kubeconfig: PathBuf,
    /// `host:port`
    address: String,
}

impl ApiServer {
    fn of(kubeconfig: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(kubeconfig)
            .with_context(|| format!("cannot read {}", kubeconfig.display()))?;
        let url = text
            .lines()
            .find_map(|line| line.trim().strip_prefix("server:"));
        let url = url.context("no server in the kubeconfig")?;
        let url = url.trim().trim_matches(['"', '\'']);
        let (scheme, rest) = url.split_once("://").context("the server is not a URL")?;
        let authority = rest.split('/').next().unwrap_or(rest);
        let port = if scheme == "http" { 80 } else { 443 };
        let has_port = authority
            .rsplit_once(':')
            .is_some_and(|(_, p)| p.parse::<u16>().is_ok());
        let address = if has_port {
            authority.to_owned()
        } else {
            format!("{authority}:{port}")
        };
        Ok(Self {
            kubeconfig: kubeconfig.to_owned(),
            address,
        })
    }

    /// The kubeconfig with the server in this network namespace, from where it is carried on.
    fn inside(&self, relay: u16) -> anyhow::Result<String> {
        let host = self.address.rsplit_once(':').map_or("", |(host, _)| host);
        let host = host.trim_matches(['[', ']']);
        let mut text = String::new();
        for line in fs::read_to_string(&self.kubeconfig)?.lines() {
            let key = line.trim_start_matches(['-', ' ']);
            let indent = line.strip_suffix(key).unwrap_or_default();
            if let Some(url) = key.strip_prefix("server:") {
                let scheme = if url.contains("http://") {
                    "http"
                } else {
                    "https"
                };
                text.push_str(&format!("{indent}server: {scheme}://127.0.0.1:{relay}\n"));
                if scheme == "https" {
                    let indent = indent.replace('-', " ");
                    text.push_str(&format!("{indent}tls-server-name: {host}\n"));
                }
            } else if let Some(name) = FILES.iter().find(|name| key.starts_with(**name)) {
                let file = key
                    .trim_start_matches(*name)
                    .trim()
                    .trim_matches(['"', '\'']);
                let file = self.beside(file)?;
                text.push_str(&format!("{indent}{name} {}\n", file.display()));
            } else {
                text.push_str(line);
                text.push('\n');
            }
        }
        Ok(text)
    }

    /// A file as the kubeconfig names it: relative to itself.
    fn beside(&self, file: &str) -> anyhow::Result<PathBuf> {
        let kubeconfig = self.kubeconfig.canonicalize()?;
        Ok(kubeconfig.parent().unwrap_or(&kubeconfig).join(file))
    }

    fn kubectl(&self, words: &str, file: &Path) -> anyhow::Result<()> {
        let mut command = Command::new("kubectl");
        command
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(words.split(' '))
            .arg("-f")
            .arg(file)
            .stdout(Stdio::null());
        let status = namespace::at_home(move || command.status())?;
        if !status.context("cannot start kubectl")?.success() {
            bail!("kubectl {words} failed");
        }
        Ok(())
    }

    /// Puts the cluster into the API server.
    fn fill<'a>(&'a self, cluster: &'a Cluster) -> anyhow::Result<Filled<'a>> {
        let namespace = cluster.path("namespace.yaml");
        fs::write(
            &namespace,
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: bench\n",
        )?;
        self.kubectl("apply --server-side", &namespace)?;
        let filled = Filled {
            server: self,
            cluster,
        };
        self.kubectl(
            "apply --server-side --force-conflicts",
            &cluster.one_file(State::Base)?,
        )?;
        let node = cluster.path("node.yaml");
        fs::write(&node, NODE)?;
        self.kubectl(
            &format!("patch --subresource=status --type=merge -p {ADDRESS}"),
            &node,
        )?;
        Ok(filled)
    }
}

/// The Services in the API server. Removed when dropped.
struct Filled<'a> {
    server: &'a ApiServer,
    cluster: &'a Cluster,
}

impl Filled<'_> {
    /// Changes an endpoint; gives what kube-proxy says of the sync, since kubectl's own time is
    /// longer than that.
    fn change(&self, agent: &Agent, limit: Duration) -> anyhow::Result<Sample> {
        let file = self.cluster.path("changed.yaml");
        let shape = self.cluster.shape;
        fs::write(&file, shape.service(shape.middle(), 1, 1)?)?;
        agent.idle()?;
        let (before, cpu) = (Metrics::read()?, agent.cpu()?);
        self.server
            .kubectl("apply --server-side --force-conflicts", &file)?;
        let begun = std::time::Instant::now();
        while begun.elapsed() < limit {
            let after = Metrics::read()?;
            if after.most(SYNCS) > before.most(SYNCS) {
                agent.idle()?;
                let took = after.most(SYNC) - before.most(SYNC);
                return Ok(Sample {
                    wall_seconds: took,
                    cpu_seconds: Some(agent.cpu()?.saturating_sub(cpu).as_secs_f64()),
                    sync_seconds: Some(took),
                    ..Sample::default()
                });
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(Sample::stopped_after(limit))
    }
}

impl Drop for Filled<'_> {
    fn drop(&mut self) {
        if let Ok(file) = self.cluster.one_file(State::Base) {
            // The user sees kubectl's own words; there is nothing more to do about it.
            let _ = self
                .server
                .kubectl("delete --ignore-not-found --wait=false", &file);
        }
    }
}

/// Writes kube-proxy's configuration and starts carrying its connections; gives the argument.
fn configuration(cluster: &Cluster, server: &ApiServer, mode: Mode) -> anyhow::Result<OsString> {
    let relay = relay(server.address.clone())?;
    let (kubeconfig, path) = (cluster.path("kubeconfig"), cluster.path("kube-proxy.yaml"));
    fs::write(&kubeconfig, server.inside(relay)?)?;
    let text = format!(
        "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n\
         mode: {}\nhostnameOverride: n0\nclusterCIDR: 10.0.0.0/9\n\
         metricsBindAddress: 127.0.0.1:10249\nhealthzBindAddress: 127.0.0.1:10256\n\
         conntrack: {{maxPerCore: 0, min: 0}}\nclientConnection: {{kubeconfig: {}}}\n",
        mode.name(),
        kubeconfig.display()
    );
    fs::write(&path, text)?;
    Ok(format!("--config={}", path.display()).into())
}

/// Listens in this network namespace and connects to `address` from the one this program was
/// started in; gives the port. Ends with the program.
fn relay(address: String) -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    namespace::spawn_at_home(move || {
        while let Ok((inner, _)) = listener.accept() {
            if let Ok(outer) = TcpStream::connect(&address) {
                // A connection that cannot be carried is one that ends.
                let _ = carry(inner, outer);
            }
        }
    })?;
    Ok(port)
}

fn carry(inner: TcpStream, outer: TcpStream) -> io::Result<()> {
    let (mut in_read, mut out_read) = (inner.try_clone()?, outer.try_clone()?);
    let (mut in_write, mut out_write) = (inner, outer);
    thread::spawn(move || {
        let _ = io::copy(&mut in_read, &mut out_write);
        let _ = out_write.shutdown(Shutdown::Both);
    });
    thread::spawn(move || {
        let _ = io::copy(&mut out_read, &mut in_write);
        let _ = in_write.shutdown(Shutdown::Both);
    });
    Ok(())
}

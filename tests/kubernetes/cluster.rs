//! A node of the testbed whose Services come from an API server.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::agent::Agent;
use crate::api_server::ApiServer;
use crate::support::manifest::nodes;
use crate::support::program::{CLUSTER_CIDR, PROGRAM};
use crate::support::{Mode, Service, Testbed};

/// The API server and the testbed.
pub(crate) struct Cluster {
    pub(crate) server: ApiServer,
    pub(crate) bed: Testbed,
    home: TempDir,
}

impl Cluster {
    /// A cluster with nodes, pods and no Services.
    pub(crate) fn with_pods(pods: u8) -> Self {
        let server = ApiServer::start();
        server.put_all(&nodes());
        Self {
            server,
            bed: Testbed::with_pods(pods),
            home: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    /// Has these Services, and no others.
    pub(crate) fn has(&self, services: &[Service]) {
        self.server.replace(&objects(services));
    }

    /// A file of this test.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Starts an agent for the node, and waits until the first load is in the kernel.
    #[track_caller]
    pub(crate) fn agent(&self, more: &[&str]) -> Agent<'_> {
        self.launch(more).loaded()
    }

    /// Starts an agent for the node, come what may.
    pub(crate) fn launch(&self, more: &[&str]) -> Agent<'_> {
        self.launch_with(&["--master", &self.server.url()], more)
    }

    /// The same with another way to the server.
    pub(crate) fn launch_with(&self, access: &[&str], more: &[&str]) -> Agent<'_> {
        let mut command = Command::new(PROGRAM);
        command.args(["run", "-v", "--min-sync-period", "0s"]);
        command.args(["--mode", Mode::tested().name(), "--node-name", "n0"]);
        command.args(["--cluster-cidr", CLUSTER_CIDR]);
        command.arg("--netns").arg(self.bed.node.namespace.path());
        command.args(access).args(more);
        // A file of its own for each start: the last one counts.
        let log = self.file(&format!("log-{}", next()));
        Agent::spawn(&self.bed.node.namespace, command, &log)
    }
}

/// The Services and their slices.
pub(crate) fn objects(services: &[Service]) -> Vec<Value> {
    services.iter().flat_map(Service::objects).collect()
}

fn next() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

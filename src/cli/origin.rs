//! Flags of where an agent has its Services from: files, or the Kubernetes API.

use std::path::PathBuf;
use std::time::Duration;

use super::args::DEFAULT_STATE_DIR;
use crate::agent::run::Origin;
use crate::config::duration;
use crate::source::kubernetes::{ApiAccess, KubernetesOptions};
use crate::source::manifest::ManifestInput;

/// Manifests or a cluster.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Input")]
pub(super) struct OriginArgs {
    /// Manifests: a file, a directory, a glob pattern, or - for standard input; repeatable
    /// [default: the cluster that this Pod is in]
    #[arg(short, long, value_name = "PATH", num_args = 1..)]
    filename: Vec<String>,

    /// Descend into directories
    #[arg(short = 'R', long, requires = "filename")]
    recursive: bool,

    /// Refuse what is only warned about otherwise: unknown fields, sloppy addresses
    #[arg(long, requires = "filename")]
    strict: bool,

    /// Directory that allocated cluster IPs and node ports of manifests are kept in
    #[arg(long, value_name = "DIR", default_value = DEFAULT_STATE_DIR, env = "PORTOLAN_STATE_DIR")]
    state_dir: PathBuf,

    /// Kubernetes API to follow, as kubectl knows it
    #[arg(long, value_name = "FILE", conflicts_with = "filename")]
    kubeconfig: Option<PathBuf>,

    /// Address of the API server, in place of the kubeconfig's
    #[arg(long, value_name = "URL", conflicts_with = "filename")]
    master: Option<String>,

    /// Open a watch of the API again that was silent for so long
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    watch_silence: Duration,

    /// Fail /livez if a watch stays silent for so long although the API server answers
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    watch_stuck: Duration,
}

impl OriginArgs {
    /// Where Services come from, or what is wrong with the flags.
    pub(super) fn origin(&self) -> Result<Origin, String> {
        if !self.filename.is_empty() {
            return Ok(Origin::Manifests {
                input: ManifestInput {
                    paths: self.filename.clone(),
                    recursive: self.recursive,
                    strict: self.strict,
                },
                state_dir: self.state_dir.clone(),
            });
        }
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let kubeconfig = self.kubeconfig.clone();
        let access = ApiAccess {
            kubeconfig: kubeconfig.filter(|path| !path.as_os_str().is_empty()),
            master: self.master.as_deref().and_then(given),
        };
        let in_cluster = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
        if access == ApiAccess::default() && !in_cluster {
            return Err(
                "nothing to follow: give manifests with -f, or a cluster with \
                        --kubeconfig or --master, or run in a Pod"
                    .to_owned(),
            );
        }
        if self.watch_silence.is_zero() {
            return Err("--watch-silence: must be longer than 0s".to_owned());
        }
        Ok(Origin::Kubernetes(KubernetesOptions {
            access,
            silence: self.watch_silence,
            stuck: self.watch_stuck,
        }))
    }
}

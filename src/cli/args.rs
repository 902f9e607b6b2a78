//! Flags that several verbs share.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;

use super::{Failure, report};
use crate::agent::cluster::{Cluster, LoadError, StateAccess};
use crate::config::{ProxyConfig, ProxyFlags};
use crate::kernel::netns::NetnsRef;
use crate::source::manifest::{ManifestInput, Note};

/// Where allocated addresses are kept if `--state-dir` does not say.
pub(super) const DEFAULT_STATE_DIR: &str = "/var/lib/portolan";

/// Which manifests to read, and where their allocations are kept.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Input")]
pub(super) struct InputArgs {
    /// Manifests: a file, a directory, a glob pattern, or - for standard input; repeatable
    #[arg(short, long, required = true, value_name = "PATH", num_args = 1..)]
    pub filename: Vec<String>,

    /// Descend into directories
    #[arg(short = 'R', long)]
    pub recursive: bool,

    /// Refuse what is only warned about otherwise: unknown fields, sloppy addresses
    #[arg(long)]
    pub strict: bool,

    /// Directory that allocated cluster IPs and node ports are kept in
    #[arg(long, value_name = "DIR", default_value = DEFAULT_STATE_DIR, env = "PORTOLAN_STATE_DIR")]
    pub state_dir: PathBuf,
}

impl InputArgs {
    /// Reads the manifests, allocates what they leave open, and tells the user what there is to
    /// know about them. Mistakes in them are bad input; a state directory in trouble is not.
    pub(super) fn load(
        &self,
        config: &ProxyConfig,
        access: StateAccess,
    ) -> Result<Cluster, Failure> {
        let loaded = Cluster::load(&self.manifest_input(), config, &self.state_dir, access);
        let notes = match &loaded {
            Ok(cluster) => cluster.notes.as_slice(),
            Err(error) => notes_of(error),
        };
        report::notes(notes)?;
        loaded.map_err(refusal)
    }

    pub(super) fn manifest_input(&self) -> ManifestInput {
        ManifestInput {
            paths: self.filename.clone(),
            recursive: self.recursive,
            strict: self.strict,
        }
    }
}

/// Why manifests were not loaded, after telling the user what was noted about them.
pub(super) fn load_failure(error: LoadError) -> Failure {
    match report::notes(notes_of(&error)) {
        Ok(()) => refusal(error),
        Err(error) => error.into(),
    }
}

fn notes_of(error: &LoadError) -> &[Note] {
    match error {
        LoadError::Manifests(error) => &error.notes,
        LoadError::Allocation { notes, .. } => notes,
        LoadError::State(_) => &[],
    }
}

/// Mistakes in manifests are bad input; a state directory in trouble is not.
fn refusal(error: LoadError) -> Failure {
    let mistakes = match &error {
        LoadError::Manifests(error) => error.errors.len() + error.omitted,
        LoadError::Allocation { errors, .. } => errors.len(),
        LoadError::State(_) => return error.into(),
    };
    Failure::bad_input(anyhow!(
        "{error}\n{mistakes} mistake{} in the manifests; nothing was changed",
        if mistakes == 1 { "" } else { "s" }
    ))
}

/// Which network namespace to work in.
#[derive(Args, Clone, Debug)]
pub(super) struct NetnsArgs {
    /// Network namespace to program: a name under /run/netns or a path [default: the current one]
    #[arg(long, value_name = "NAME|PATH")]
    pub netns: Option<NetnsRef>,
}

impl NetnsArgs {
    /// The namespace meant.
    pub(super) fn netns(&self) -> NetnsRef {
        self.netns.clone().unwrap_or_default()
    }
}

/// Validates rule flags against this host's name.
pub(super) fn proxy_config(flags: &ProxyFlags) -> Result<ProxyConfig, Failure> {
    let host_name = nix::unistd::gethostname()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    ProxyConfig::from_flags(flags, &host_name).map_err(Failure::bad_input)
}

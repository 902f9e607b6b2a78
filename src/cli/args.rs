//! Flags that several verbs share.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;

use super::{Failure, report};
use crate::agent::cluster::{Cluster, LoadError, StateAccess};
use crate::config::{ProxyConfig, ProxyFlags};
use crate::kernel::netns::NetnsRef;
use crate::source::manifest::ManifestInput;

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
        let (notes, mistakes) = match &loaded {
            Ok(cluster) => (&cluster.notes, 0),
            Err(LoadError::Manifests(error)) => (&error.notes, error.errors.len() + error.omitted),
            Err(LoadError::Allocation { errors, notes }) => (notes, errors.len()),
            Err(LoadError::State(_)) => (&Vec::new(), 0),
        };
        report::notes(notes)?;
        loaded.map_err(|error| match error {
            LoadError::State(error) => error.into(),
            _ => Failure::bad_input(anyhow!(
                "{error}\n{mistakes} mistake{} in the manifests; nothing was changed",
                if mistakes == 1 { "" } else { "s" }
            )),
        })
    }

    fn manifest_input(&self) -> ManifestInput {
        ManifestInput {
            paths: self.filename.clone(),
            recursive: self.recursive,
            strict: self.strict,
        }
    }
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

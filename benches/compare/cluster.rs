//! The files of a cluster of one size, and how programs are told of them.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::manifests::{Shape, State, file_of};
use crate::result::Mode;
use crate::settings::Settings;

/// A Service range for more Services than the default one holds.
const LARGE_RANGE: &str = "10.224.0.0/12";
/// How many Services the default range holds, with room to spare.
const DEFAULT_RANGE_HOLDS: u32 = 16_000;

/// One size, with its files in a directory of their own.
pub(crate) struct Cluster {
    pub(crate) shape: Shape,
    portolan: PathBuf,
    home: tempfile::TempDir,
}

impl Cluster {
    pub(crate) fn new(settings: &Settings, services: u32) -> anyhow::Result<Self> {
        Ok(Self {
            shape: Shape {
                services,
                endpoints: settings.endpoints,
            },
            portolan: settings.portolan.clone(),
            home: tempfile::tempdir().context("cannot make a directory for manifests")?,
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// All in one file, which is written when first asked for.
    pub(crate) fn one_file(&self, state: State) -> anyhow::Result<PathBuf> {
        let path = self.path(&format!("{}.yaml", state.name()));
        if !path.exists() {
            let out = BufWriter::new(File::create(&path)?);
            self.shape.write(state, out)?;
        }
        Ok(path)
    }

    /// A file for each Service, in the state [`State::Base`].
    pub(crate) fn directory(&self) -> anyhow::Result<PathBuf> {
        let path = self.path("services");
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        fs::create_dir(&path)?;
        self.shape.write_into(&path)?;
        Ok(path)
    }

    /// Writes one Service's file as editors do: aside, then put in place. Gives what does the
    /// latter.
    pub(crate) fn aside(
        &self,
        service: u32,
        fresh: u32,
        round: u32,
    ) -> anyhow::Result<impl FnOnce() -> std::io::Result<()> + use<>> {
        let aside = self.path(&format!("aside-{service}"));
        let mut file = File::create(&aside)?;
        file.write_all(&self.shape.service(service, fresh, round)?)?;
        let target = file_of(&self.path("services"), service);
        Ok(move || fs::rename(aside, target))
    }

    /// Removes one Service's file.
    pub(crate) fn remove(&self, service: u32) -> std::io::Result<()> {
        fs::remove_file(file_of(&self.path("services"), service))
    }

    /// Arguments for portolan.
    pub(crate) fn arguments(
        &self,
        verb: &str,
        mode: Mode,
        manifests: &Path,
        state: &str,
    ) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec![
            verb.into(),
            "-f".into(),
            manifests.into(),
            "--state-dir".into(),
            self.path(state).into(),
            "--mode".into(),
            mode.name().into(),
        ];
        arguments.extend(
            "--node-name n0 --cluster-cidr 10.0.0.0/9"
                .split(' ')
                .map(Into::into),
        );
        if self.shape.services > DEFAULT_RANGE_HOLDS {
            arguments.extend(["--service-cidr", LARGE_RANGE].map(Into::into));
        }
        arguments
    }

    /// The IPv4 rules of a state as text, rendered when first asked for.
    pub(crate) fn rules(&self, mode: Mode, state: State) -> anyhow::Result<PathBuf> {
        let path = self.path(&format!("{}-{}.txt", mode.name(), state.name()));
        if path.exists() {
            return Ok(path);
        }
        let manifests = self.one_file(state)?;
        let mut command = Command::new(&self.portolan);
        command
            .args(self.arguments("render", mode, &manifests, "render-state"))
            .args(["--family", "ip"])
            // iptables-restore makes no nfacct objects; two of the rules are without their match.
            .arg("--without-nfacct")
            .stdout(File::create(&path)?);
        let status = command
            .status()
            .with_context(|| format!("cannot start {}", self.portolan.display()))?;
        if !status.success() {
            bail!("portolan render ended with {status}");
        }
        Ok(path)
    }
}

//! A directory of manifests, a live source of it, and the comparison with a fresh load.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use portolan::agent::cluster::{Cluster, LoadError, StateAccess};
use portolan::agent::live::LiveSource;
use portolan::config::{ProxyConfig, ProxyFlags};
use portolan::model::{Snapshot, SnapshotDelta};
use portolan::source::changes::Changes;
use portolan::source::manifest::ManifestInput;
use tempfile::TempDir;

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    flags: ProxyFlags,
}

pub(crate) fn config() -> ProxyConfig {
    let line = Line::parse_from(["test", "--service-cidr=10.128.0.0/9"]);
    ProxyConfig::from_flags(&line.flags, "node").unwrap()
}

/// Manifests in use.
pub(crate) struct Live {
    home: TempDir,
    pub(crate) input: ManifestInput,
    pub(crate) source: LiveSource,
    pub(crate) snapshot: Snapshot,
}

impl Live {
    /// A directory `in` with these files, given as the one argument.
    pub(crate) fn of_directory(files: &[(&str, &str)]) -> Self {
        Self::of(files, &["in"], false)
    }

    /// Files below a new directory, and arguments relative to it.
    pub(crate) fn of(files: &[(&str, &str)], arguments: &[&str], recursive: bool) -> Self {
        Self::prepared(files, arguments, recursive, |_| ())
    }

    /// As [`of`](Self::of), with something done to the new directory before it is read.
    pub(crate) fn prepared(
        files: &[(&str, &str)],
        arguments: &[&str],
        recursive: bool,
        prepare: impl FnOnce(&Path),
    ) -> Self {
        let home = tempfile::tempdir().unwrap();
        prepare(home.path());
        for (name, text) in files {
            write(&home.path().join(name), text);
        }
        let paths = arguments.iter();
        let paths = paths.map(|argument| home.path().join(argument).to_str().unwrap().to_owned());
        let input = ManifestInput {
            paths: paths.collect(),
            recursive,
            strict: false,
        };
        let state = home.path().join("state");
        let (source, snapshot) = LiveSource::open(input.clone(), &config(), &state).unwrap();
        let live = Self {
            home,
            input,
            source,
            snapshot,
        };
        assert_eq!(live.fresh().unwrap().snapshot, live.snapshot);
        live
    }

    /// The agent is stopped and started again.
    pub(crate) fn again(self) -> Self {
        let Self {
            home,
            input,
            source,
            ..
        } = self;
        drop(source);
        let state = home.path().join("state");
        let (source, snapshot) = LiveSource::open(input.clone(), &config(), &state).unwrap();
        Self {
            home,
            input,
            source,
            snapshot,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        write(&path, text);
        path
    }

    /// What a program that starts now would have.
    pub(crate) fn fresh(&self) -> Result<Cluster, LoadError> {
        let state = self.path("state");
        Cluster::load(&self.input, &config(), &state, StateAccess::ReadOnly)
    }

    /// Tells the source of changes; checks the outcome against a fresh load.
    pub(crate) fn tell(&mut self, changes: &Changes) -> Result<SnapshotDelta, LoadError> {
        let fresh = self.fresh();
        let result = self.source.changed(changes, &self.snapshot);
        match (&result, fresh) {
            (Ok(delta), Ok(fresh)) => {
                assert_eq!(self.source.failing(), None);
                self.snapshot.apply(delta.clone());
                assert_eq!(self.snapshot, fresh.snapshot);
            }
            (Ok(delta), Err(fresh)) => {
                let failing = self.source.failing();
                assert!(failing.is_some(), "not refused, and should be: {fresh}");
                assert!(delta.is_empty());
                same_errors(failing.unwrap(), &fresh);
            }
            (Err(error), Err(fresh)) => same_errors(&error.to_string(), &fresh),
            (Err(error), Ok(_)) => panic!("refused without a reason: {error}"),
        }
        result
    }

    pub(crate) fn touched(&mut self, names: &[&str]) -> Result<SnapshotDelta, LoadError> {
        let paths: Vec<PathBuf> = names.iter().map(|name| self.path(name)).collect();
        self.tell(&paths.into_iter().collect())
    }

    pub(crate) fn services(&self) -> Vec<String> {
        let names = self.snapshot.services.keys();
        names.map(|name| name.name.to_string()).collect()
    }
}

/// Which of two claimants is blamed may differ for addresses.
fn same_errors(text: &str, fresh: &LoadError) {
    if matches!(fresh, LoadError::Allocation { .. }) {
        assert!(text.contains("already allocated"), "{text}");
        return;
    }
    assert_eq!(text, fresh.to_string());
}

pub(crate) fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// As editors do it: a new file takes the place of the old one.
pub(crate) fn replace(path: &Path, text: &str) {
    let new = path.with_extension("tmp");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

pub(crate) fn service(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: 80}}]}}\n"
    )
}

pub(crate) fn slice(name: &str, service: &str, addresses: &[&str]) -> String {
    let endpoints: Vec<String> = addresses
        .iter()
        .map(|address| format!("{{addresses: [{address}]}}"))
        .collect();
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {name}, labels: \
         {{kubernetes.io/service-name: {service}}}}}\naddressType: IPv4\nports: [{{port: 8080}}]\n\
         endpoints: [{}]\n",
        endpoints.join(", ")
    )
}

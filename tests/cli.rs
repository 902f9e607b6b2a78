//! The command line as people and scripts meet it: exit codes, messages, formats, privileges.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a failure is a failed test"
)]

mod support;

#[path = "cli/exit_codes.rs"]
mod exit_codes;
#[path = "cli/output.rs"]
mod output;
#[path = "cli/privilege.rs"]
mod privilege;

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A Service that is right, and whose cluster IP has to be allocated.
const WEB: &str = "\
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  type: NodePort
  ports:
  - port: 80
    nodePort: 30080
";

/// A folder with manifests and a place for state.
struct Desk {
    directory: TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        desk.write("web.yaml", WEB);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    /// `VERB -f web.yaml --state-dir …` and more, as arguments.
    fn web(&self, verb: &str, more: &[&str]) -> Vec<String> {
        self.args(verb, "web.yaml", more)
    }

    fn args(&self, verb: &str, file: &str, more: &[&str]) -> Vec<String> {
        let (file, state) = (self.path(file), self.path("state"));
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let fixed = [
            "-f".to_owned(),
            text(&file),
            "--state-dir".to_owned(),
            text(&state),
        ];
        let verb = verb.split(' ').map(str::to_owned);
        verb.chain(fixed)
            .chain(more.iter().map(|s| (*s).to_owned()))
            .collect()
    }
}

/// Borrowed arguments.
fn refs(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

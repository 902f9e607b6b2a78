//! A lab for one test: up at its begin, down at its end, however it ends.

use std::collections::BTreeMap;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::program::{PROGRAM, Run};
use crate::support::tally::chi_square_bound;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The nodes of the course.
pub(crate) const NODES: [&str; 3] = ["192.168.10.100", "192.168.10.150", "192.168.10.200"];

static LABS: AtomicU32 = AtomicU32::new(0);

/// A name that no other test has, in this process or another.
pub(crate) fn new_name() -> String {
    let number = LABS.fetch_add(1, Ordering::Relaxed);
    format!("t{}-{number}", std::process::id())
}

/// A lab that stands.
#[derive(Debug)]
pub(crate) struct TestLab {
    pub(crate) name: String,
}

impl Drop for TestLab {
    fn drop(&mut self) {
        let run = lab(&["down", "--name", &self.name]);
        // A second panic would hide the first.
        if !thread::panicking() {
            run.exits(0);
        }
    }
}

/// Runs a verb of `portolan lab`.
pub(crate) fn lab(args: &[&str]) -> Run {
    let output = command(args).output().expect("portolan");
    Run::of(&format!("lab {}", args.join(" ")), &output)
}

pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("lab").args(args).env_remove("PORTOLAN_LAB");
    command
}

/// A file of `examples/`.
pub(crate) fn example(name: &str) -> String {
    let path = format!("{}/examples/{name}", env!("CARGO_MANIFEST_DIR"));
    assert!(std::path::Path::new(&path).exists(), "{path}");
    path
}

impl TestLab {
    /// With all examples of the course.
    #[track_caller]
    pub(crate) fn up() -> Self {
        Self::up_with(&[])
    }

    /// With some examples of the course.
    #[track_caller]
    pub(crate) fn with_examples(names: &[&str]) -> Self {
        Self::in_mode("nftables", names)
    }

    #[track_caller]
    pub(crate) fn in_mode(mode: &str, names: &[&str]) -> Self {
        let paths: Vec<String> = names.iter().map(|name| example(name)).collect();
        let mut args = vec!["--mode", mode, "-f"];
        args.extend(paths.iter().map(String::as_str));
        Self::up_with(&args)
    }

    /// With these manifests.
    #[track_caller]
    pub(crate) fn with_manifests(text: &str) -> Self {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("write");
        Self::up_with(&["-f", file.path().to_str().expect("a path")])
    }

    #[track_caller]
    pub(crate) fn up_with(args: &[&str]) -> Self {
        let this = Self { name: new_name() };
        this.run("up", args).exits(0);
        this
    }

    /// A verb on this lab.
    pub(crate) fn run(&self, verb: &str, args: &[&str]) -> Run {
        lab(&[&[verb, "--name", &self.name], args].concat())
    }

    /// A command inside, whatever its end.
    pub(crate) fn exec(&self, target: &str, command: &[&str]) -> Run {
        let args = [&[target, "--"], command].concat();
        self.run("exec", &args)
    }

    /// What a command inside prints; it must succeed.
    #[track_caller]
    pub(crate) fn output(&self, target: &str, command: &[&str]) -> String {
        self.exec(target, command).exits(0).stdout
    }

    /// What `lab status -o json` says.
    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        let run = self.run("status", &["-o", "json"]).exits(0);
        serde_json::from_str(&run.stdout).expect("JSON")
    }

    /// Names of the pods of an owner such as `Deployment default/mydp`, by node.
    #[track_caller]
    pub(crate) fn pods_of(&self, owner: &str) -> Vec<(String, String)> {
        let status = self.status();
        let pods = status["pods"].as_array().expect("pods").iter();
        let own = pods.filter(|pod| pod["owner"] == owner);
        own.map(|pod| (text(&pod["name"]), text(&pod["node"])))
            .collect()
    }

    /// The only pods of an example that has three web servers, as they introduce themselves.
    #[track_caller]
    pub(crate) fn web(&self) -> Vec<String> {
        let pods = self.pods_of("Deployment default/mydp");
        pods.iter()
            .map(|(pod, node)| format!("{pod} on {node}"))
            .collect()
    }

    /// A field of a Service in `lab status`.
    #[track_caller]
    pub(crate) fn service(&self, name: &str) -> Value {
        let status = self.status();
        let services = status["services"].as_array().expect("services").iter();
        let mut named = services.filter(|service| service["name"] == name);
        named.next().unwrap_or_else(|| panic!("no {name}")).clone()
    }

    /// Connections, and who answered; all must be answered.
    #[track_caller]
    pub(crate) fn curl(&self, from: &str, url: &str, count: u32) -> Spread {
        let spread = self.try_curl(from, url, count);
        assert_eq!(
            spread.failed, 0,
            "{from} to {url}: {}: {spread:?}",
            spread.errors
        );
        spread
    }

    /// Connections, and who answered, if anybody did.
    #[track_caller]
    pub(crate) fn try_curl(&self, from: &str, url: &str, count: u32) -> Spread {
        let count = count.to_string();
        let args = [from, url, "-n", &count, "--max-time", "10", "-o", "json"];
        let run = self.run("curl", &args);
        let spread: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"));
        Spread {
            answers: serde_json::from_value(spread["answers"].clone()).expect("answers"),
            failed: serde_json::from_value(spread["failed"].clone()).expect("failed"),
            last: text(&spread["last"]),
            errors: spread["errors"].to_string(),
        }
    }

    /// A connection that nobody takes: refused, or without an answer.
    #[track_caller]
    pub(crate) fn assert_unreachable(&self, from: &str, url: &str) {
        let run = self.run("curl", &[from, url, "--max-time", "2", "-o", "json"]);
        let run = run.exits(1);
        let spread: Value = serde_json::from_str(&run.stdout).expect("JSON");
        assert_eq!(spread["failed"], 1, "{spread}");
    }

    /// Waits until something is so.
    #[track_caller]
    pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < end, "{what}: not so");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A string of JSON.
#[track_caller]
pub(crate) fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value}"))
        .to_owned()
}

/// Who answered.
#[derive(Clone, Debug)]
pub(crate) struct Spread {
    pub(crate) answers: BTreeMap<String, u32>,
    pub(crate) failed: u32,
    pub(crate) last: String,
    pub(crate) errors: String,
}

impl Spread {
    /// Exactly these answered, and as evenly as chance allows.
    #[track_caller]
    pub(crate) fn assert_even_over(&self, pods: &[String]) {
        self.assert_only(pods);
        let total = f64::from(self.answers.values().sum::<u32>());
        let expected = total / f64::from(u32::try_from(pods.len()).expect("few"));
        let square = |count: &u32| (f64::from(*count) - expected).powi(2) / expected;
        let statistic: f64 = self.answers.values().map(square).sum();
        let bound = chi_square_bound(pods.len());
        assert!(
            statistic < bound,
            "{statistic:.1} is over {bound}: {self:?}"
        );
    }

    /// Exactly these answered.
    #[track_caller]
    pub(crate) fn assert_only(&self, pods: &[String]) {
        let mut pods = pods.to_vec();
        pods.sort();
        let answered: Vec<&String> = self.answers.keys().collect();
        assert_eq!(answered, pods.iter().collect::<Vec<_>>(), "{self:?}");
    }
}

/// The lines of an output, sorted.
pub(crate) fn sorted_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    lines.sort();
    lines
}

/// What a program prints in the namespace of the test itself.
pub(crate) fn here(program: &str, args: &[&str]) -> Output {
    Command::new(program).args(args).output().expect("program")
}

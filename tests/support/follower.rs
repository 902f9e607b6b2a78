//! `portolan run` in place of `portolan apply`: an agent on the node follows a directory, and each
//! new set of services is a file that is renamed over the one before.
//!
//! Every set has one Service more, headless and with a new name, so that each is a change and its
//! end can be told: the agent logs one line for the batch that it came in.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Child;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::bed::Testbed;
use super::manifest::{Service, manifests};
use super::program::{Run, patience};

/// A running agent. It is killed with the test, like everything else on the node.
#[derive(Debug)]
pub(crate) struct Follower {
    child: Child,
    flags: Vec<String>,
    log: PathBuf,
    /// Sets of services that it has had since it started.
    rounds: usize,
}

impl Testbed {
    /// Has the agent of this test follow these services, and waits until it has. With other flags
    /// than before, another agent takes over.
    #[track_caller]
    pub(crate) fn follow(&self, services: &[Service], more: &[&str]) -> Run {
        let mut follower = self.follower.lock().expect("nobody panicked");
        match follower.as_mut().filter(|present| present.flags == more) {
            Some(present) => {
                present.rounds += 1;
                self.lay_out(services);
                present.wait("a change to be programmed", |log| {
                    batches(log) >= present.rounds
                });
            }
            None => {
                // The one before ends, and leaves everything in force.
                drop(follower.take());
                self.lay_out(services);
                let started = follower.insert(self.start_follower(more));
                started.wait("the start", |log| log.contains(" runs"));
            }
        }
        let present = follower.as_ref().expect("there is one");
        Run {
            arguments: format!("run {}", more.join(" ")),
            code: Some(0),
            stdout: String::new(),
            stderr: present.logged(),
        }
    }

    /// Writes the directory that is followed: one file, replaced as a whole.
    fn lay_out(&self, services: &[Service]) {
        let directory = self.followed();
        fs::create_dir_all(&directory).expect("a directory");
        let round = format!(
            "---\napiVersion: v1\nkind: Service\n\
             metadata: {{namespace: default, name: round-{}}}\nspec: {{clusterIP: None}}\n",
            next_round()
        );
        let new = directory.join(".new");
        fs::write(&new, manifests(services) + &round).expect("write");
        fs::rename(&new, directory.join("services.yaml")).expect("rename");
    }

    fn followed(&self) -> PathBuf {
        self.directory.path().join("followed")
    }

    fn start_follower(&self, more: &[&str]) -> Follower {
        let log = self.directory.path().join("follower.log");
        let mut command = self.command("run", &self.followed(), more);
        command.args(["-v", "--min-sync-period", "0s"]);
        command.stderr(File::create(&log).expect("a log"));
        let child = self.node.namespace.enter(|| command.spawn());
        Follower {
            child: child.expect("portolan"),
            flags: more.iter().map(|&flag| flag.to_owned()).collect(),
            log,
            rounds: 0,
        }
    }
}

impl Follower {
    fn logged(&self) -> String {
        fs::read_to_string(&self.log).expect("log")
    }

    #[track_caller]
    fn wait(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        let end = Instant::now() + patience();
        loop {
            let log = self.logged();
            if is_so(&log) {
                return;
            }
            assert!(!log.contains("stay in force"), "refused:\n{log}");
            assert!(Instant::now() < end, "no end of waiting for {what}:\n{log}");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A number that this process has not had.
fn next_round() -> u64 {
    static ROUNDS: AtomicU64 = AtomicU64::new(0);
    ROUNDS.fetch_add(1, Ordering::Relaxed)
}

/// Batches in which Services changed: `programmed` or `repaired`, with their number.
fn batches(log: &str) -> usize {
    let numbers = log
        .lines()
        .filter_map(|line| line.split(" services=").nth(1));
    numbers
        .filter(|rest| !rest.starts_with('0') && rest.contains(" transactions="))
        .count()
}

//! The outside balancer: an HAProxy with the configuration that `portolan haproxy` writes.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::cluster;
use super::launch::{Program, own_file};
use super::network::BALANCER;
use super::{Lab, LabError, Place};
use crate::kernel::process::Process;

/// The program, as Debian names it.
const HAPROXY: &str = "haproxy";

/// Connections at once, in place of what the configuration says.
const MAX_CONNECTIONS: &str = "4000";

/// A file of HAProxy's.
fn file(place: &Place, name: &str) -> PathBuf {
    place.file(HAPROXY).join(name)
}

/// Writes the configuration for all Services of type LoadBalancer, as a person would have it written.
/// HAProxy itself has judged it then.
fn write_configuration(place: &Place) -> Result<(), LabError> {
    fs::create_dir_all(place.file(HAPROXY))?;
    let output = Command::new(own_file()?)
        .arg(HAPROXY)
        .arg("--filename")
        .arg(cluster::directory(place))
        .arg("--state-dir")
        .arg(place.file("allocations"))
        .arg("--output")
        .arg(file(place, "haproxy.cfg"))
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = said
        .lines()
        .map(|line| line.trim_start_matches("error: "))
        .collect();
    Err(anyhow::anyhow!("--haproxy: {}", said.join("; ")).into())
}

impl Lab {
    /// Starts the balancer's HAProxy: a master with a worker, which `portolan haproxy --reload` can
    /// reach by its pidfile.
    pub(super) fn start_haproxy(&mut self) -> Result<(), LabError> {
        write_configuration(&self.place)?;
        let path = |name: &str| file(&self.place, name).to_string_lossy().into_owned();
        let arguments = [
            "-Ws".to_owned(),
            "-f".to_owned(),
            path("haproxy.cfg"),
            "-p".to_owned(),
            path("haproxy.pid"),
            // Needs two files a connection, and not every machine lets a process have more.
            "-n".to_owned(),
            MAX_CONNECTIONS.to_owned(),
        ];
        let program = Program {
            what: HAPROXY.to_owned(),
            netns: self.place.machine(BALANCER),
            other: Some(HAPROXY),
            arguments: arguments.into(),
            place: &self.place,
        };
        self.state.haproxy = Some(program.start()?.wait()?);
        self.save()
    }

    /// Starts it again if it should run and does not; true if so.
    pub(super) fn revive_haproxy(&mut self) -> Result<bool, LabError> {
        let died = self
            .state
            .haproxy
            .is_some_and(|process: Process| !process.is_alive());
        if died {
            self.start_haproxy()?;
        }
        Ok(died)
    }
}

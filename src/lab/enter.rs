//! A command inside a lab: where, and with which view of the machine.

use std::io;
use std::process::{Command, Output};
use std::thread;

use anyhow::Context;

use super::machines::OWN_FILES;
use super::place::netns;
use super::{Lab, LabError, PodState, listed, network};
use crate::kernel::view::View;

/// Kinds whose pods can be meant, as kubectl shortens them.
const OWNERS: [(&str, &str); 10] = [
    ("deploy", "Deployment"),
    ("deployment", "Deployment"),
    ("rs", "ReplicaSet"),
    ("replicaset", "ReplicaSet"),
    ("sts", "StatefulSet"),
    ("statefulset", "StatefulSet"),
    ("ds", "DaemonSet"),
    ("daemonset", "DaemonSet"),
    ("po", "Pod"),
    ("pod", "Pod"),
];

/// The kind that kubectl's word for it means, in full.
pub(super) fn kind_of(word: &str) -> Option<&'static str> {
    let known = OWNERS.iter().find(|(short, _)| *short == word);
    known.map(|(_, kind)| *kind)
}

impl Lab {
    /// The view of a machine or pod: `n1`, `client`, `mydp-k4w2z`, `pod/NAME`, `NAMESPACE/NAME`, or
    /// `deploy/mydp` for the first of its pods.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn view(&self, target: &str) -> Result<View, LabError> {
        let fixed = [
            network::CLIENT,
            network::BALANCER,
            network::ROUTER,
            network::SWITCH,
        ];
        if self.state.node(target).is_some() || fixed.contains(&target) {
            return Ok(self.view_of(&self.place.machine(target), target));
        }
        if let Some((word, name)) = target.split_once('/')
            && let Some(kind) = kind_of(word).filter(|kind| *kind != "Pod")
        {
            let namespaced = match name.contains('/') {
                true => format!("{kind} {name}"),
                false => format!("{kind} default/{name}"),
            };
            let first = self.state.pods.iter().find(|pod| pod.owner == namespaced);
            let first = first.ok_or_else(|| {
                LabError::Asked(format!("lab {}: no pod of {target}", self.place.name()))
            })?;
            return Ok(self.view_of_pod(first));
        }
        match self.pod(target) {
            Ok(at) => Ok(self.view_of_pod(&self.state.pods[at])),
            Err(error) if target.contains('/') => Err(error),
            Err(_) => {
                let nodes = self.state.nodes.iter().map(|node| node.name.as_str());
                let machines = nodes.chain(fixed[..2].iter().copied());
                let pods = self.state.pods.iter().map(|pod| pod.name.as_str());
                Err(LabError::Asked(format!(
                    "lab {} has no node or pod {target}: it has {}",
                    self.place.name(),
                    listed(machines.chain(pods))
                )))
            }
        }
    }

    fn view_of_pod(&self, pod: &PodState) -> View {
        let host = pod.hostname.as_deref().unwrap_or(&pod.name);
        self.view_of(&self.place.pod(&pod.namespace, &pod.name), host)
    }

    fn view_of(&self, name: &str, host: &str) -> View {
        let etc = self.place.file(OWN_FILES).join(name);
        View {
            netns: netns(name),
            // Longer ones the kernel does not take.
            host: host.chars().take(64).collect(),
            etc,
        }
    }
}

/// Runs a command with a view until it ends, reading `input`.
///
/// # Errors
/// The view cannot be had, the program cannot be started.
pub(super) fn run(view: &View, command: &mut Command, input: &str) -> Result<Output, LabError> {
    let program = command.get_program().to_string_lossy().into_owned();
    thread::scope(|scope| {
        let inside = || -> Result<Output, LabError> {
            view.enter().map_err(anyhow::Error::new)?;
            let mut child = command.spawn().map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => anyhow::anyhow!("{program} is not installed"),
                _ => anyhow::Error::new(error).context(format!("cannot start {program}")),
            })?;
            if let Some(mut stdin) = child.stdin.take() {
                // A program that stops reading early says why by itself.
                let _ = io::Write::write_all(&mut stdin, input.as_bytes());
            }
            Ok(child.wait_with_output()?)
        };
        let thread = thread::Builder::new().spawn_scoped(scope, inside)?;
        let outcome = thread.join();
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Replaces this program by another one with a view.
///
/// # Errors
/// Always an error: if it works, nothing comes back.
pub fn replace(view: &View, command: &[String]) -> LabError {
    use std::os::unix::process::CommandExt;
    let Some((program, arguments)) = command.split_first() else {
        return LabError::Asked("no command to run".to_owned());
    };
    if let Err(error) = view.enter() {
        return LabError::Failed(error.into());
    }
    let error = Command::new(program).args(arguments).exec();
    let outcome: Result<(), _> = Err(error);
    match outcome.with_context(|| format!("cannot run {program}")) {
        Err(error) => LabError::Failed(error),
        Ok(()) => LabError::Asked(String::new()),
    }
}

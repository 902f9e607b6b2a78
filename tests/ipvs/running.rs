//! `portolan run --mode ipvs` on the node of a testbed, following a directory.

use std::fs::{self, File};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use crate::node::saved;
use crate::support::program::{CLUSTER_CIDR, PROGRAM, SERVICE_CIDR};
use crate::support::{Service, Testbed, manifests};

/// Long enough for an emulated machine under load.
const PATIENCE: Duration = Duration::from_secs(240);

/// What runs. It ends with the test, however that ends.
pub(crate) struct Agent {
    child: Child,
}

impl Agent {
    /// Starts it with these flags beside the usual ones, and waits until it runs.
    pub(crate) fn start(bed: &Testbed, more: &[&str]) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(["run", "--mode", "ipvs", "--node-name", "n0"]);
        command.args(["--cluster-cidr", CLUSTER_CIDR]);
        command.args(more);
        Self::start_command(bed, command)
    }

    /// Starts it with a configuration file of kube-proxy, which says the rest.
    pub(crate) fn start_with_file(bed: &Testbed, file: &str) -> Self {
        let path = bed.directory.path().join("config.yaml");
        fs::write(&path, file).unwrap();
        let mut command = Command::new(PROGRAM);
        command.arg("run").arg("--config").arg(path);
        Self::start_command(bed, command)
    }

    /// Starts it where no kernel setting can be written, as in many containers.
    pub(crate) fn start_without_sysctls(bed: &Testbed) -> Self {
        let script = "mount --bind /proc/sys /proc/sys && \
                      mount -o remount,bind,ro /proc/sys && exec \"$0\" \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, PROGRAM]);
        command.args(["run", "--mode", "ipvs", "--node-name", "n0"]);
        command.args(["--cluster-cidr", CLUSTER_CIDR]);
        Self::start_command(bed, command)
    }

    /// Lets it write kernel settings from now on.
    pub(crate) fn allow_sysctls(&self) {
        let pid = self.child.id().to_string();
        let remount = ["mount", "-o", "remount,bind,rw", "/proc/sys"];
        let status = Command::new("nsenter")
            .args(["--mount", "--target", &pid])
            .args(remount)
            .status();
        assert!(status.unwrap().success());
    }

    fn start_command(bed: &Testbed, mut command: Command) -> Self {
        let directory = bed.directory.path();
        command.args(["-v", "--service-cidr", SERVICE_CIDR]);
        command.arg("--state-dir").arg(directory.join("state"));
        command.arg("-f").arg(directory.join("followed"));
        command.stderr(File::create(directory.join("log")).unwrap());
        let child = bed.node.namespace.enter(|| command.spawn()).unwrap();
        let agent = Self { child };
        until(bed, "the start", || log_of(bed).contains(" runs"));
        agent
    }

    /// Ends it with a signal.
    pub(crate) fn stop(mut self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What it has said since its start.
pub(crate) fn log_of(bed: &Testbed) -> String {
    fs::read_to_string(bed.directory.path().join("log")).unwrap()
}

/// The Services from now on, as one file that is renamed over the one before.
pub(crate) fn lay_out(bed: &Testbed, services: &[Service]) {
    let directory = bed.directory.path().join("followed");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join(".new"), manifests(services)).unwrap();
    fs::rename(directory.join(".new"), directory.join("services.yaml")).unwrap();
}

/// Waits until something is so; the log and the virtual servers are told if it never is.
#[track_caller]
pub(crate) fn until(bed: &Testbed, what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(
            Instant::now() < end,
            "no end of waiting for {what}: {:#?}\n{}",
            saved(&bed.node.namespace),
            log_of(bed)
        );
        thread::sleep(Duration::from_millis(200));
    }
}

/// Waits until `ipvsadm-save -n` has this line, or no such line any more.
#[track_caller]
pub(crate) fn has(bed: &Testbed, line: &str, wanted: bool) {
    let node = &bed.node.namespace;
    until(bed, line, || saved(node).contains(line) == wanted);
}

/// Whether the address is on the dummy device.
pub(crate) fn is_bound(bed: &Testbed, address: &str) -> bool {
    let to = format!("{address}/32");
    let node = &bed.node.namespace;
    let shown = node.run("ip", &["-o", "addr", "show", "to", &to]);
    shown.contains("kube-ipvs0")
}

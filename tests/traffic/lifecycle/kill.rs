//! A run that is killed leaves the old rules or the new ones, never a mixture.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Service, Testbed};

/// How often a run is killed.
const KILLS: u32 = 60;

/// So many services that a run takes a while.
const SERVICES: u8 = 100;

fn services(bed: &Testbed, endpoints: usize, skipped: u8) -> Vec<Service> {
    let numbers = (1..=SERVICES).filter(|n| n % 7 != skipped);
    numbers
        .map(|n| {
            Service::new(&format!("service-{n}"), &format!("10.233.11.{n}"))
                .node_port(31000 + u16::from(n))
                .to(&bed.pods[..endpoints])
        })
        .collect()
}

/// One of the two states between which the node is moved.
struct State {
    manifest: PathBuf,
    saved: String,
}

impl State {
    fn new(bed: &Testbed, name: &str, services: &[Service]) -> Self {
        let manifest = bed.directory.path().join(name);
        std::fs::rename(bed.write(services), &manifest).unwrap();
        bed.verb_on("apply", &manifest, &[]).exits(0);
        Self {
            manifest,
            saved: bed.node.namespace.rules(),
        }
    }
}

/// A number from 0 to 1, another every time.
fn chance() -> f64 {
    let bits = RandomState::new().build_hasher().finish();
    f64::from(u32::try_from(bits >> 32).unwrap()) / f64::from(u32::MAX)
}

fn start(bed: &Testbed, state: &State) -> Child {
    let mut command = bed.command("apply", &state.manifest, &[]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    bed.node.namespace.enter(|| command.spawn()).unwrap()
}

#[test]
fn killed_at_any_moment_it_leaves_the_old_state_or_the_new() {
    let bed = Testbed::with_pods(3);
    let old = State::new(&bed, "old.yaml", &services(&bed, 2, 3));
    let new = State::new(&bed, "new.yaml", &services(&bed, 3, 5));
    let began = Instant::now();
    assert!(start(&bed, &old).wait().unwrap().success());
    // How long a run takes changes with what else the machine does: kept up to date below.
    let mut whole_run = began.elapsed();

    let (mut at, mut to) = (&old, &new);
    let (mut killed, mut moved) = (0, 0);
    for kill in 0..KILLS {
        let mut child = start(&bed, to);
        // Every second one falls into the last third, where the kernel is written.
        let share = if kill % 2 == 0 {
            chance()
        } else {
            0.67 + chance() / 2.5
        };
        thread::sleep(whole_run.mul_f64(share)); // Not to wait for something: to hit any moment.
        child.kill().unwrap();
        let in_time = child.wait().unwrap().signal().is_some();
        killed += u32::from(in_time);
        whole_run = whole_run.mul_f64(if in_time { 1.05 } else { 0.8 });
        let found = bed.node.namespace.rules();
        if found == to.saved {
            (at, to) = (to, at);
            moved += 1;
        } else {
            assert!(
                found == at.saved,
                "kill {kill}, after {share:.2} of {whole_run:?}: a mixture"
            );
        }
    }
    eprintln!("{killed} runs were killed, {moved} of {KILLS} had committed ({whole_run:?} a run)");
    assert!(
        killed >= KILLS / 3,
        "only {killed} runs were killed before their end"
    );
    assert!(moved > 0, "no run was killed after its commit");

    // Nothing that a killed run left behind is in the way of the next one.
    bed.verb_on("apply", &to.manifest, &[]).exits(0);
    assert!(bed.node.namespace.rules() == to.saved);
    bed.verb_on("verify", &to.manifest, &[]).exits(0);
    assert!(whole_run < Duration::from_secs(30), "{whole_run:?}");
}

//! What a listener costs our own commits. Not tests: run with
//! `cargo test --release --test kernel_monitor cost -- --ignored --nocapture --test-threads=1`.

use std::time::{Duration, Instant};

use portolan::kernel::Socket;
use portolan::kernel::nft::*;
use portolan::model::IpFamily::V4;
use portolan::plan::op::{Element, Op, SetRef, SetSpec};

use crate::kernel_support::*;

fn endpoints() -> SetRef {
    SetRef {
        table: table(V4, "portolan"),
        name: "endpoints".into(),
    }
}

/// A map like that of endpoints: front end and slot to address and port.
fn map() -> SetSpec {
    SetSpec {
        flags: 8,
        key_type: (7 << 18) | (12 << 12) | (13 << 6) | 4,
        key_len: 16,
        data: Some(((7 << 6) | 13, 8)),
        ..SetSpec::default()
    }
}

fn element(number: u32) -> Element {
    let mut key = [0; 16];
    key[..4].copy_from_slice(&number.to_be_bytes());
    Element {
        key: key.into(),
        data: Some([10, 0, 0, 1, 0, 80, 0, 0].into()),
        interval_end: false,
        comment: None,
    }
}

fn batch(ops: &[Op]) -> FinishedBatch {
    let mut batch = Batch::new(None);
    for op in ops {
        batch.push(op).unwrap();
    }
    batch.finish()
}

/// System time of this thread.
fn system() -> Duration {
    let used = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_THREAD).unwrap();
    let time = used.system_time();
    Duration::new(
        time.tv_sec().try_into().unwrap(),
        u32::try_from(time.tv_usec()).unwrap() * 1000,
    )
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Listener {
    None,
    /// Paused during each commit.
    Paused,
    /// Own transactions do not reach its queue.
    Ignoring,
    /// All do.
    Hearing,
}

fn listener(kind: Listener, writer: &Socket) -> Option<NftMonitor> {
    let interest = Interest::new().table(table(V4, "portolan"));
    let mut monitor = (kind != Listener::None).then(|| NftMonitor::open(interest).unwrap())?;
    if kind != Listener::Hearing {
        monitor.ignore(writer);
    }
    Some(monitor)
}

fn commit_cost(kind: Listener, elements: u32, rounds: u32) {
    in_new_netns(|| {
        let mut socket = socket();
        let setup = [
            Op::AddTable(table(V4, "portolan")),
            Op::AddSet {
                set: endpoints(),
                spec: map(),
            },
        ];
        batch(&setup).commit(&mut socket).unwrap();
        let mut monitor = listener(kind, &socket);
        let mut spent = Duration::ZERO;
        let mut wall = Duration::ZERO;
        let mut receiving = Duration::ZERO;
        let mut heard = Vec::new();
        for round in 0..rounds {
            let set = endpoints();
            let new = (0..elements)
                .map(|n| element(round * elements + n))
                .collect();
            let batch = batch(&[Op::AddElements { set, elements: new }]);
            let (before, start) = (system(), Instant::now());
            let paused = monitor.as_mut().filter(|_| kind == Listener::Paused);
            if let Some(monitor) = paused {
                monitor.pause().unwrap();
                let committed = batch.commit(&mut socket).unwrap();
                monitor.resume(committed.generation, &mut socket).unwrap();
            } else {
                batch.commit(&mut socket).unwrap();
            }
            let after = system();
            wall += start.elapsed();
            spent += after - before;
            if let Some(monitor) = &mut monitor {
                let before = Instant::now();
                while let Some(what) = monitor.try_recv().unwrap() {
                    heard.push(what);
                }
                receiving += before.elapsed();
            }
        }
        let overruns = heard.iter().filter(|what| **what == Heard::Overrun).count();
        eprintln!(
            "{:<10} {elements:>8} elements: kernel {:>10.1?} wall {:>10.1?} a commit; \
             receiving {:>10.1?}, {} transactions, {overruns} overruns",
            format!("{kind:?}"),
            spent / rounds,
            wall / rounds,
            receiving / rounds,
            heard.len() - overruns,
        );
    });
}

#[test]
#[ignore = "a measurement"]
fn cost_of_a_commit_with_and_without_a_listener() {
    for (elements, rounds) in [
        (1, 20_000),
        (100, 1000),
        (1000, 200),
        (10_000, 20),
        (100_000, 5),
        (200_000, 2),
    ] {
        for kind in [
            Listener::None,
            Listener::Paused,
            Listener::Ignoring,
            Listener::Hearing,
        ] {
            commit_cost(kind, elements, rounds);
        }
    }
}

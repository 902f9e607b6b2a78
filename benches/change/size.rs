//! One size: load the table, then change it, a Service at a time.

use std::fs;

use anyhow::Context;
use clap::Args;
use nix::sched::{CloneFlags, unshare};
use portolan::agent::sync::{Done, Load};
use portolan::kernel::Socket;
use portolan::kernel::nft::NftKernel;
use portolan::model::{Snapshot, SnapshotDelta};
use portolan::plan::diff::Step;
use portolan::translate::nftables::LiveTable;
use serde::{Deserialize, Serialize};

use crate::cluster::Maker;
use crate::cost::{Cost, cost};

/// What the table holds, and how often it is changed.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Shape {
    services: u32,
    endpoints: u32,
    changes: u32,
}

/// Everything that was measured of one size.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) services: u32,
    pub(crate) endpoints: u32,
    pub(crate) load: Loaded,
    pub(crate) changes: Vec<Changes>,
}

/// The first load, from a snapshot in memory into a kernel without our table.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Loaded {
    /// From Services to elements.
    pub(crate) translate: Cost,
    /// From elements to the kernel's word that it has them.
    pub(crate) commit: Cost,
    pub(crate) transactions: usize,
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    /// Memory of the process in MB with the snapshot alone; at most; and after the load.
    pub(crate) snapshot_mb: f64,
    pub(crate) peak_mb: f64,
    pub(crate) steady_mb: f64,
}

/// What is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    EndpointChanged,
    ServiceAdded,
    ServiceRemoved,
}

/// All changes of one kind.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Changes {
    pub(crate) kind: Kind,
    /// Messages and bytes of the last one; the others have as many.
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    /// From the delta of the snapshot to a batch of netlink messages: no system call.
    pub(crate) prepare: Vec<Cost>,
    /// From there to the kernel's word that it is committed.
    pub(crate) commit: Vec<Cost>,
}

/// Measures one size in a namespace of its own, which goes away with this process.
pub(crate) fn measure(shape: Shape) -> anyhow::Result<Measured> {
    unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace (not root?)")?;
    let mut bench = Bench {
        socket: Socket::open().context("cannot open a netlink socket")?,
        maker: Maker::new(shape.endpoints),
        snapshot: Snapshot::default(),
        table: LiveTable::new(&Snapshot::default(), Maker::options()?),
    };
    bench.snapshot = bench.maker.snapshot(shape.services);
    let load = bench.load()?;
    let kinds = [
        Kind::EndpointChanged,
        Kind::ServiceAdded,
        Kind::ServiceRemoved,
    ];
    let mut changes = kinds.map(|kind| Changes {
        kind,
        messages: 0,
        bytes: 0,
        prepare: Vec::new(),
        commit: Vec::new(),
    });
    // Neighbours in memory are neighbours in number: go about in strides.
    let strides = (0..shape.changes).map(|number| number.wrapping_mul(7919) % shape.services);
    for (number, service) in (0..).zip(strides) {
        for of_kind in &mut changes {
            let delta = match of_kind.kind {
                Kind::EndpointChanged => bench.maker.endpoints(service, Some(number)),
                Kind::ServiceAdded => bench.maker.added(shape.services),
                Kind::ServiceRemoved => bench.maker.removed(shape.services),
            };
            bench.change(delta, of_kind)?;
        }
    }
    Ok(Measured {
        services: shape.services,
        endpoints: shape.endpoints,
        load,
        changes: changes.into(),
    })
}

struct Bench {
    socket: Socket,
    maker: Maker,
    snapshot: Snapshot,
    table: LiveTable,
}

impl Bench {
    fn load(&mut self) -> anyhow::Result<Loaded> {
        let snapshot_mb = memory("VmRSS")?;
        let (table, translate) = cost(|| {
            let options = Maker::options()?;
            Ok(LiveTable::new(&self.snapshot, options))
        })?;
        self.table = table;
        let (done, commit) = cost(|| {
            let mut done = Done::default();
            let generation = self.socket.generation()?;
            let mut load = Load::new(&mut self.socket, Some(generation), &mut done);
            load.begin_family()?;
            self.table.load(false, &mut |step| load.take(step))?;
            load.flush()?;
            drop(load);
            Ok(done)
        })?;
        Ok(Loaded {
            translate,
            commit,
            transactions: done.transactions,
            messages: done.messages,
            bytes: done.bytes,
            snapshot_mb,
            peak_mb: memory("VmHWM")?,
            steady_mb: memory("VmRSS")?,
        })
    }

    fn change(&mut self, delta: SnapshotDelta, of_kind: &mut Changes) -> anyhow::Result<()> {
        let (batch, prepare) = cost(|| {
            let touched = self.snapshot.apply(delta);
            let update = self.table.update(&self.snapshot, &touched.services);
            let mut batch = self.socket.batch(None);
            update.delta.ops(&mut |step| match step {
                Step::Op(op) => batch.push(&op),
                Step::StagePoint => Ok(()),
            })?;
            Ok(batch)
        })?;
        let (committed, commit) = cost(|| Ok(self.socket.commit(batch)?))?;
        of_kind.messages = committed.messages;
        of_kind.bytes = committed.bytes;
        of_kind.prepare.push(prepare);
        of_kind.commit.push(commit);
        Ok(())
    }
}

/// A figure of `/proc/self/status`, in MB of 1 000 000 bytes.
fn memory(field: &str) -> anyhow::Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    let kib: f64 = kib.with_context(|| format!("no {field}"))?.parse()?;
    Ok(kib * 1024.0 / 1e6)
}

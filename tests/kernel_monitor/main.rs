//! Hearing foreign changes of nf_tables, in real network namespaces and with the real `nft` and
//! `iptables`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]

mod cost;
#[path = "../kernel_support/mod.rs"]
mod kernel_support;
mod overrun;
mod own;
mod pause;
mod raw;
mod tools;
mod waiting;

use kernel_support::*;
use portolan::agent::repair;
use portolan::kernel::Socket;
use portolan::kernel::nft::*;
use portolan::model::IpFamily::{V4, V6};
use portolan::plan::op::{Element, Op, SetRef, SetSpec};

/// The tables of the nftables mode.
fn interest() -> Interest {
    let of = |family| table(family, "portolan");
    Interest::new().table(of(V4)).table(of(V6)).keep_keys(16)
}

fn open() -> NftMonitor {
    NftMonitor::open(interest()).unwrap()
}

/// Runs `nft` with one command.
fn nft(command: &str) {
    run("nft", &[command]);
}

fn iptables(arguments: &str) {
    run("iptables", &arguments.split(' ').collect::<Vec<_>>());
}

/// Everything that is to be told now.
fn drain(monitor: &mut NftMonitor) -> Vec<Heard> {
    std::iter::from_fn(|| monitor.try_recv().unwrap()).collect()
}

fn transactions(monitor: &mut NftMonitor) -> Vec<Transaction> {
    let heard = drain(monitor).into_iter();
    heard
        .map(|heard| match heard {
            Heard::Transaction(transaction) => transaction,
            Heard::Overrun => panic!("overrun"),
        })
        .collect()
}

/// What is to be told now, in words, without the process number.
fn words(monitor: &mut NftMonitor) -> Vec<String> {
    transactions(monitor)
        .iter()
        .map(|transaction| {
            let text = repair::by(transaction);
            assert!(transaction.process.pid.is_some(), "{text}");
            text.rsplit_once(" (pid ").unwrap().0.to_owned()
        })
        .collect()
}

fn set(name: &str) -> SetRef {
    SetRef {
        table: table(V4, "portolan"),
        name: name.into(),
    }
}

/// A set of IPv4 addresses.
fn add_set(name: &str) -> Op {
    let spec = SetSpec {
        key_type: 7,
        key_len: 4,
        ..SetSpec::default()
    };
    Op::AddSet {
        set: set(name),
        spec,
    }
}

fn elements(numbers: std::ops::Range<u32>) -> Vec<Element> {
    let element = |number: u32| Element {
        key: number.to_be_bytes().into(),
        data: None,
        interval_end: false,
        comment: None,
    };
    numbers.map(element).collect()
}

fn add_elements(name: &str, numbers: std::ops::Range<u32>) -> Op {
    Op::AddElements {
        set: set(name),
        elements: elements(numbers),
    }
}

fn delete_elements(name: &str, numbers: std::ops::Range<u32>) -> Op {
    Op::DeleteElements {
        set: set(name),
        elements: elements(numbers),
    }
}

fn commit(socket: &mut Socket, bound: Option<u32>, ops: &[Op]) -> Result<Committed, CommitError> {
    let mut batch = Batch::new(bound);
    for op in ops {
        batch.push(op).unwrap();
    }
    batch.finish().commit(socket)
}

/// A small table of ours: chain `services` with two rules, set `frontends`, map `endpoints`.
const TABLE: &str = "add table ip portolan; \
    add set ip portolan frontends { type ipv4_addr; }; \
    add map ip portolan endpoints { type ipv4_addr : ipv4_addr; }; \
    add element ip portolan frontends { 10.0.0.1, 10.0.0.2, 10.0.0.3 }; \
    add element ip portolan endpoints { 10.0.0.1 : 10.1.0.1 }; \
    add chain ip portolan services; \
    add rule ip portolan services ip daddr @frontends accept; \
    add rule ip portolan services tcp dport { 80, 443 } drop";

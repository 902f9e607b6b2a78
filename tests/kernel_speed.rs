//! How long a load like that of 10 000 services with 10 endpoints each takes. Not a test: run with
//! `cargo test --release --test kernel_speed -- --ignored --nocapture`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]

mod kernel_support;

use std::time::Duration;

use kernel_support::*;
use portolan::kernel::nft::*;
use portolan::model::IpFamily::V4;
use portolan::plan::expr::{Expr, RuleBody};
use portolan::plan::op::{ChainRef, Element, Op, Place, SetRef, SetSpec};

const ENDPOINTS: usize = 10;

/// User and system time of the calling thread, in steps of 10 ms.
fn cpu() -> (Duration, Duration) {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = |field: usize| -> Duration {
        let ticks: u64 = fields
            .split_whitespace()
            .nth(field)
            .unwrap()
            .parse()
            .unwrap();
        Duration::from_millis(ticks * 10)
    };
    (ticks(11), ticks(12))
}

fn measured<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let before = cpu();
    let value = work();
    let after = cpu();
    let (user, system) = (after.0 - before.0, after.1 - before.1);
    eprintln!("{what:<40} user {user:>8.2?} system {system:>8.2?}");
    value
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    line.unwrap().split_whitespace().skip(1).collect()
}

fn rule(chain: &ChainRef, exprs: Vec<Expr>, protocol: Option<u32>) -> Op {
    Op::AddRule {
        chain: chain.clone(),
        place: Place::Append,
        rule: RuleBody {
            exprs,
            compat: protocol.map(|protocol| (protocol, 0)),
            userdata: Box::default(),
        },
    }
}

/// One service: its chain, ten endpoint chains, and the rules kube-proxy gives them: 43 messages.
fn service(index: usize) -> Vec<Op> {
    let text = format!("namespace-{}/service-{index}:http", index % 50);
    let svc = chain(V4, "nat", &format!("KUBE-SVC-{index:016}"));
    let mark = chain(V4, "nat", "KUBE-MARK-MASQ");
    let ip = |n: usize| u32::try_from(0x0a00_0000 + n).unwrap().to_be_bytes();
    let mut ops = vec![add_chain(&svc)];
    let mut rules = vec![rule(
        &svc,
        [
            xt::protocol(6),
            xt::destination(&ip(index)),
            vec![xt::comment(&text)],
            xt::dport(80),
            vec![Expr::Counter, jump(&mark)],
        ]
        .concat(),
        Some(6),
    )];
    for endpoint in 0..ENDPOINTS {
        let sep = chain(V4, "nat", &format!("KUBE-SEP-{index:012}{endpoint:04}"));
        let address = ip(0x1_0000 + index * ENDPOINTS + endpoint);
        ops.push(add_chain(&sep));
        let hairpin = [
            xt::destination(&address),
            vec![xt::comment(&text), Expr::Counter, jump(&mark)],
        ];
        ops.push(rule(&sep, hairpin.concat(), None));
        let dnat = [
            xt::protocol(6),
            vec![xt::comment(&text), xt::tcp(), Expr::Counter],
            vec![xt::dnat(&address, 8080)],
        ];
        ops.push(rule(&sep, dnat.concat(), Some(6)));
        let mut exprs = vec![xt::comment(&text)];
        if endpoint + 1 < ENDPOINTS {
            let left = u32::try_from(ENDPOINTS - endpoint).unwrap();
            exprs.push(xt::statistic((1 << 31) / left));
        }
        exprs.extend([Expr::Counter, jump(&sep)]);
        rules.push(rule(&svc, exprs, None));
    }
    ops.extend(rules);
    ops
}

fn load(services: usize, per_batch: usize) {
    in_new_netns(|| {
        eprintln!("\n{services} services, {per_batch} to a batch");
        let mut socket = socket();
        let mut batch = Batch::new(None);
        let base = chain(V4, "nat", "OUTPUT");
        batch.push(&Op::AddTable(base.table.clone())).unwrap();
        batch.push(&add_base(&base, "nat", 3, -100)).unwrap();
        batch
            .push(&add_chain(&chain(V4, "nat", "KUBE-MARK-MASQ")))
            .unwrap();
        let mut at = batch.commit(&mut socket).unwrap().generation;
        let (mut user, mut system) = (Duration::ZERO, Duration::ZERO);
        let (mut messages, mut bytes) = (0, 0);
        for first in (0..services).step_by(per_batch) {
            let ops: Vec<_> = (first..first + per_batch).flat_map(service).collect();
            let before = cpu();
            let mut batch = Batch::new(Some(at));
            for op in &ops {
                batch.push(op).unwrap();
            }
            let built = cpu();
            drop(ops);
            user += built.0 - before.0;
            let before = cpu();
            let committed = batch.commit(&mut socket).unwrap();
            system += cpu().1 - before.1;
            at = committed.generation;
            messages += committed.messages;
            bytes += committed.bytes;
        }
        eprintln!(
            "{messages} messages, {} MiB: build {user:.2?} user, commit {system:.2?} system, \
             peak {}",
            bytes >> 20,
            peak_memory()
        );
        let mut rules = 0;
        let mut exprs = 0;
        measured("dump and decode all rules", || {
            let visit = &mut |rule: RuleView<'_>| {
                rules += 1;
                exprs += rule.body.exprs.len();
            };
            dump_rules(&mut socket, &base.table, None, visit).unwrap();
        });
        eprintln!("{rules} rules, {exprs} expressions");
        measured("dump and decode all chains", || {
            dump_chains(&mut socket, &base.table, &mut |_| {}).unwrap();
        });
        measured("dump one chain", || {
            let name = format!("KUBE-SVC-{:016}", services / 2);
            dump_rules(&mut socket, &base.table, Some(&name), &mut |_| {}).unwrap();
        });
    });
}

#[test]
#[ignore = "a measurement of about a minute"]
fn ten_thousand_services_staged() {
    load(10_000, 1_000);
}

#[test]
#[ignore = "a measurement of about a minute"]
fn ten_thousand_services_at_once() {
    load(10_000, 10_000);
}

/// A million elements of 16 bytes with 8 bytes of data, as 100 000 services with 10 endpoints have
/// them, and 200 000 with a comment.
fn elements(count: u32) -> Vec<Element> {
    let element = |number: u32| {
        let mut key = number.to_be_bytes().to_vec();
        key.extend([6, 0, 0, 0, 0, 80, 0, 0]);
        key.extend(number.to_ne_bytes());
        let mut data = number.to_be_bytes().to_vec();
        data.extend([0x1f, 0x90, 0, 0]);
        Element {
            key: key.into(),
            data: Some(data.into()),
            interval_end: false,
            comment: number
                .is_multiple_of(6)
                .then(|| "namespace/service:http".into()),
        }
    };
    (0..count).map(element).collect()
}

fn endpoints() -> (SetRef, SetSpec) {
    let set = SetRef {
        table: table(V4, "t"),
        name: "endpoints".into(),
    };
    let spec = SetSpec {
        flags: 8,
        key_type: 0x1c_c344,
        key_len: 16,
        data: Some((0x1cd, 8)),
        ..SetSpec::default()
    };
    (set, spec)
}

#[test]
#[ignore = "a measurement, for people to read"]
fn elements_of_100_000_services() {
    in_new_netns(|| {
        let mut socket = socket();
        let elements = elements(1_200_000);
        let (set, spec) = endpoints();
        let mut batch = Batch::new(None);
        batch.push(&Op::AddTable(set.table.clone())).unwrap();
        let added = set.clone();
        batch.push(&Op::AddSet { set: added, spec }).unwrap();
        let step = Op::AddElements { set, elements };
        measured("encode 1 200 000 elements", || batch.push(&step).unwrap());
        let bytes = batch.len_bytes();
        eprintln!("{bytes} bytes, peak memory {}", peak_memory());
        measured("commit them", || batch.commit(&mut socket).unwrap());
    });
}

#[test]
#[ignore = "a measurement, for people to read"]
fn load_and_read_100_000_elements() {
    in_new_netns(|| {
        let mut socket = socket();
        let elements = elements(100_000);
        let (set, spec) = endpoints();
        let mut batch = Batch::new(None);
        batch.push(&Op::AddTable(set.table.clone())).unwrap();
        let added = set.clone();
        batch.push(&Op::AddSet { set: added, spec }).unwrap();
        let step = Op::AddElements {
            set: set.clone(),
            elements: elements.clone(),
        };
        measured("encode 100 000 elements", || batch.push(&step).unwrap());
        let batch = batch.finish();
        measured("commit them", || batch.commit(&mut socket).unwrap());
        let mut seen = 0;
        measured("dump them", || {
            dump_elements(&mut socket, &set, &mut |_| seen += 1).unwrap();
        });
        let keys: Vec<&[u8]> = elements.iter().map(|element| &*element.key).collect();
        measured("ask for each by key", || {
            get_elements(&mut socket, &set, &keys, &mut |_, element| {
                seen += usize::from(element.is_some());
            })
            .unwrap();
        });
        assert_eq!(seen, 2 * elements.len());
        let one = elements.first().unwrap().clone();
        let (removed, again) = (vec![one.clone()], vec![one]);
        let mut change = Batch::new(None);
        let deletion = Op::DeleteElements {
            set: set.clone(),
            elements: removed,
        };
        change.push(&deletion).unwrap();
        let addition = Op::AddElements {
            set,
            elements: again,
        };
        change.push(&addition).unwrap();
        let change = change.finish();
        measured("replace one, 1 000 times", || {
            for _ in 0..1000 {
                change.commit(&mut socket).unwrap();
            }
        });
    });
}

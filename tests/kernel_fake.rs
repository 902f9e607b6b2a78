//! The in-memory nf_tables and the running kernel answer random transactions alike: the same
//! steps refused for the same reason, the same ruleset afterwards.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure here is a failed test"
)]

mod kernel_support;

use kernel_support::*;
use portolan::kernel::nft::fake::FakeKernel;
use portolan::kernel::nft::{CommitError, ElementView, NftBatch, NftKernel};
use portolan::model::IpFamily::V4;
use portolan::plan::expr::{Expr, PayloadBase, Verdict};
use portolan::plan::op::{Element, Op, Place, SetRef, SetSpec};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const CHAINS: [&str; 5] = ["A", "B", "C", "D", "E"];
const SETS: [&str; 2] = ["s", "m"];

/// A step before handles are known: rules are named by how many rules ago they were made.
#[derive(Clone, Debug)]
enum Step {
    AddTable,
    DeleteTable,
    AddChain(usize),
    AddBase(usize, i32),
    FlushChain(usize),
    DeleteChain(usize),
    AddRule(usize, usize, PlaceOf),
    DeleteRule(usize, u64),
    AddSet(usize, bool),
    DeleteSet(usize),
    AddElements(usize, Vec<u8>, Option<u8>),
    DeleteElements(usize, Vec<u8>),
    Lookup(usize, usize, Option<u32>, bool),
}

#[derive(Clone, Copy, Debug)]
enum PlaceOf {
    Append,
    Prepend,
    Before(u64),
    After(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let chain = || 0..CHAINS.len();
    let handle = || 1u64..14;
    let place = prop_oneof![
        4 => Just(PlaceOf::Append),
        2 => Just(PlaceOf::Prepend),
        1 => handle().prop_map(PlaceOf::Before),
        1 => handle().prop_map(PlaceOf::After),
    ];
    prop_oneof![
        2 => Just(Step::AddTable),
        1 => Just(Step::DeleteTable),
        10 => chain().prop_map(Step::AddChain),
        4 => (chain(), -2..0i32).prop_map(|(c, p)| Step::AddBase(c, p)),
        4 => chain().prop_map(Step::FlushChain),
        5 => chain().prop_map(Step::DeleteChain),
        14 => (chain(), chain(), place).prop_map(|(c, t, p)| Step::AddRule(c, t, p)),
        2 => (chain(), handle()).prop_map(|(c, h)| Step::DeleteRule(c, h)),
    ]
}

/// Steps on sets, and rules that use them, between others.
fn step_with_sets() -> impl Strategy<Value = Step> {
    let set = || 0..SETS.len();
    let keys = || prop::collection::vec(0..5u8, 0..4);
    let data = || prop::option::of(0..2u8);
    let lookup = (0..3usize, set(), prop::option::of(Just(1)), any::<bool>());
    prop_oneof![
        10 => step(),
        4 => (set(), any::<bool>()).prop_map(|(s, map)| Step::AddSet(s, map)),
        2 => set().prop_map(Step::DeleteSet),
        8 => (set(), keys(), data()).prop_map(|(s, k, d)| Step::AddElements(s, k, d)),
        4 => (set(), keys()).prop_map(|(s, k)| Step::DeleteElements(s, k)),
        4 => lookup.prop_map(|(c, s, dreg, not)| Step::Lookup(c, s, dreg, not)),
    ]
}

fn set(index: usize) -> SetRef {
    SetRef {
        table: table(V4, "nat"),
        name: SETS[index].into(),
    }
}

fn elements(keys: &[u8], data: Option<u8>) -> Vec<Element> {
    let element = |key: &u8| Element {
        key: Box::new([10, 0, 0, *key]),
        data: data.map(|data| [10, 1, 0, data].into()),
        interval_end: false,
        comment: (*key == 0).then(|| "zero".into()),
    };
    keys.iter().map(element).collect()
}

fn op(step: &Step) -> Op {
    let named = |index: &usize| chain(V4, "nat", CHAINS[*index]);
    match step {
        Step::AddTable => Op::AddTable(named(&0).table),
        Step::DeleteTable => Op::DeleteTable(named(&0).table),
        Step::AddChain(c) => add_chain(&named(c)),
        Step::AddBase(c, priority) => add_base(&named(c), "filter", 3, *priority),
        Step::FlushChain(c) => Op::FlushChain(named(c)),
        Step::DeleteChain(c) => Op::DeleteChain(named(c)),
        Step::AddRule(c, target, place) => {
            let place = match place {
                PlaceOf::Append => Place::Append,
                PlaceOf::Prepend => Place::Prepend,
                PlaceOf::Before(handle) => Place::Before(*handle),
                PlaceOf::After(handle) => Place::After(*handle),
            };
            let verdict = if *target == 0 {
                Expr::Verdict(Verdict::Return)
            } else {
                jump(&named(target))
            };
            add_rule(&named(c), place, vec![Expr::Counter, verdict])
        }
        Step::DeleteRule(c, handle) => Op::DeleteRule {
            chain: named(c),
            handle: *handle,
        },
        _ => set_op(step),
    }
}

fn set_op(step: &Step) -> Op {
    match step {
        Step::AddSet(s, map) => Op::AddSet {
            set: set(*s),
            spec: SetSpec {
                flags: if *map { 8 } else { 0 },
                key_type: 7,
                key_len: 4,
                data: map.then_some((7, 4)),
                size: (*s == 0).then_some(3),
                ..SetSpec::default()
            },
        },
        Step::DeleteSet(s) => Op::DeleteSet(set(*s)),
        Step::AddElements(s, keys, data) => Op::AddElements {
            set: set(*s),
            elements: elements(keys, *data),
        },
        Step::DeleteElements(s, keys) => Op::DeleteElements {
            set: set(*s),
            elements: elements(keys, None),
        },
        Step::Lookup(c, s, dreg, not) => {
            let lookup = Expr::Lookup {
                set: SETS[*s].into(),
                sreg: 1,
                dreg: *dreg,
                not: *not,
            };
            let destination = Expr::Payload {
                base: PayloadBase::Network,
                offset: 16,
                len: 4,
                dreg: 1,
            };
            let chain = chain(V4, "nat", CHAINS[*c]);
            add_rule(&chain, Place::Append, vec![destination, lookup])
        }
        other => panic!("{other:?} is none about sets"),
    }
}

/// What can be seen of a kernel: `chain handle base` and `chain handle rule` lines.
fn listing(kernel: &mut impl NftKernel) -> Vec<String> {
    let table = table(V4, "nat");
    let mut lines = Vec::new();
    kernel
        .dump_tables(V4, &mut |table| {
            lines.push(format!("table {} uses {}", table.name, table.uses));
        })
        .unwrap();
    kernel
        .dump_chains(&table, &mut |c| {
            let base = c
                .base
                .map(|b| (b.chain_type.to_owned(), b.hook, b.priority));
            lines.push(format!("{} {} uses {} {base:?}", c.name, c.handle, c.uses));
        })
        .unwrap();
    let mut rules = Vec::new();
    kernel
        .dump_rules(&table, None, &mut |r| {
            rules.push(format!(
                "{} {} after {:?}: {:?}",
                r.chain, r.handle, r.position, r.body
            ));
        })
        .unwrap();
    lines.extend(rules);
    let mut sets = Vec::new();
    kernel
        .dump_sets(&table, &mut |view| {
            sets.push((view.name.to_owned(), view.handle, view.spec()));
        })
        .unwrap();
    for (name, handle, spec) in sets {
        lines.push(format!("set {name} {handle} {spec:?}"));
        let set = SetRef {
            table: table.clone(),
            name: name.into(),
        };
        let mut elements = Vec::new();
        let visit = &mut |view: ElementView<'_>| elements.push(format!("{:?}", view.to_element()));
        kernel.dump_elements(&set, visit).unwrap();
        elements.sort_unstable();
        lines.extend(elements);
    }
    lines
}

/// A set is full (`errno.h`).
const ENFILE: i32 = 23;

/// The outcome of a transaction: whether the generation changed, and handles; or which steps were refused with which errno.
type Outcome = Result<(u32, Vec<(usize, u64)>), Vec<(Option<usize>, i32)>>;

fn commit<K: NftKernel>(kernel: &mut K, steps: &[Step]) -> Outcome {
    let before = kernel.generation().unwrap();
    let mut batch = kernel.batch(None);
    for step in steps {
        match op(step) {
            // Tables are numbered through all transactions of a namespace.
            op @ Op::AddTable(_) => batch.push(&op).unwrap(),
            op => batch.push_echo(&op).unwrap(),
        }
    }
    match kernel.commit(batch) {
        Ok(committed) => Ok((committed.generation - before, committed.handles)),
        Err(CommitError::Refused { refusals, .. }) => {
            let refused = refusals.iter().map(|r| (r.op, r.errno));
            // A batch that begins with a flush or with elements adds the table before it, so that only this first
            // refusal shows that there was none.
            let adds_table = |step: &Step| match step {
                Step::AddElements(_, keys, _) | Step::DeleteElements(_, keys) => !keys.is_empty(),
                other => matches!(other, Step::FlushChain(_)),
            };
            // Steps without a message are as if they were not there.
            let is_nothing = |step: &&Step| match step {
                Step::AddElements(_, keys, _) | Step::DeleteElements(_, keys) => keys.is_empty(),
                _ => false,
            };
            let first = steps.iter().find(|step| !is_nothing(step));
            let first_only = first.is_some_and(adds_table);
            let mut refused: Vec<_> = refused
                .take(if first_only { 1 } else { usize::MAX })
                .collect();
            // Newer kernels keep the element that overfills a set until the transaction is undone,
            // older ones drop it at once: later steps of the same transaction see the difference.
            let overfilled = refused.iter().position(|(_, errno)| *errno == ENFILE);
            refused.truncate(overfilled.map_or(usize::MAX, |at| at + 1));
            Err(refused)
        }
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn the_fake_and_the_kernel_answer_alike() {
    compare(100, step());
}

#[test]
fn so_they_do_about_sets() {
    compare(100, step_with_sets());
}

fn compare(cases: u32, step: impl Strategy<Value = Step> + Send) {
    in_new_netns(|| {
        let transactions = prop::collection::vec(prop::collection::vec(step, 1..12), 1..12);
        let mut runner = TestRunner::new(Config {
            // The kernel waits for its readers whenever a base chain goes: most of the time.
            cases: if std::env::var_os("PROPTEST_CASES").is_some() {
                Config::default().cases
            } else {
                cases
            },
            failure_persistence: None,
            ..Config::default()
        });
        runner
            .run(&transactions, |transactions| {
                let mut kernel = socket();
                let mut fake = FakeKernel::new();
                commit(&mut kernel, &[Step::AddTable, Step::DeleteTable]).unwrap();
                // Most transactions need a table to be of interest.
                for steps in std::iter::once(vec![Step::AddTable]).chain(transactions) {
                    let expected = commit(&mut fake, &steps);
                    let seen = commit(&mut kernel, &steps);
                    prop_assert_eq!(&seen, &expected, "{:?}", &steps);
                    prop_assert_eq!(listing(&mut kernel), listing(&mut fake), "{:?}", &steps);
                }
                Ok(())
            })
            .unwrap();
    });
}

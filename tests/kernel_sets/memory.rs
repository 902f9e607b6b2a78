//! The kernel in memory refuses and shows what the real one does.

use std::collections::BTreeSet;

use portolan::kernel::nft::fake::FakeKernel;
use portolan::kernel::nft::*;
use portolan::model::IpFamily::V4;
use portolan::plan::expr::{Expr, RuleBody};
use portolan::plan::op::{Element, Op, Place, SetSpec};

use crate::kernel_support::*;
use crate::{
    add, add_set, address_map, addresses, commit, delete, dumped, element, nameless, plain, set,
};

fn rule_with(expr: Expr) -> Op {
    Op::AddRule {
        chain: chain(V4, "t", "c"),
        place: Place::Append,
        rule: RuleBody {
            exprs: vec![
                Expr::Payload {
                    base: portolan::plan::expr::PayloadBase::Network,
                    offset: 16,
                    len: 4,
                    dreg: 1,
                },
                expr,
            ],
            ..RuleBody::default()
        },
    }
}

fn lookup(name: &str, dreg: Option<u32>, not: bool) -> Op {
    let set = name.into();
    rule_with(Expr::Lookup {
        set,
        sreg: 1,
        dreg,
        not,
    })
}

/// What a kernel shows of table `t`.
type Shown = (
    Vec<(String, u64, Option<u32>, SetSpec)>,
    Vec<BTreeSet<Element>>,
);

fn shown(kernel: &mut impl NftKernel) -> Shown {
    let mut sets = Vec::new();
    let visit = &mut |view: SetView<'_>| {
        sets.push((view.name.to_owned(), view.handle, view.count, view.spec()));
    };
    kernel.dump_sets(&table(V4, "t"), visit).unwrap();
    let names: Vec<_> = sets.iter().map(|(name, ..)| set(name)).collect();
    let elements = names.iter().map(|set| dumped(kernel, set)).collect();
    (sets, elements)
}

#[test]
fn the_memory_and_the_kernel_refuse_the_same() {
    let sized = SetSpec {
        size: Some(2),
        ..addresses()
    };
    let transactions: Vec<Vec<Op>> = vec![
        vec![add_set("s", addresses())],
        vec![
            Op::AddTable(table(V4, "t")),
            add_chain(&chain(V4, "t", "c")),
        ],
        vec![add_set("s", addresses()), add_set("m", address_map())],
        vec![add_set("s", addresses())],
        vec![add_set("s", address_map())],
        vec![add("s", plain(0..3)), add("missing", plain(0..3))],
        vec![add("s", plain(0..3)), add("s", plain(2..5))],
        vec![add("s", plain(0..3))],
        vec![add("s", vec![element(9, Some(1), None)])],
        vec![add("m", vec![element(9, None, None)])],
        vec![add("m", vec![element(9, Some(1), Some("x"))])],
        vec![add("m", vec![element(9, Some(2), None)])],
        vec![
            delete("m", vec![element(9, None, None)]),
            add("m", vec![element(9, Some(2), None)]),
        ],
        vec![delete("s", plain(4..6))],
        vec![delete("s", plain(4..5)), delete("missing", plain(4..5))],
        vec![delete("s", plain(4..5))],
        vec![delete("s", Vec::new())],
        vec![lookup("missing", None, false)],
        vec![lookup("s", Some(1), false)],
        vec![lookup("m", Some(1), true)],
        vec![lookup("s", None, true), lookup("m", Some(1), false)],
        vec![Op::DeleteSet(set("s"))],
        vec![Op::DeleteSet(set("missing"))],
        vec![Op::FlushChain(chain(V4, "t", "c")), Op::DeleteSet(set("s"))],
        vec![add_set("sized", sized), add("sized", plain(0..3))],
        // A nameless set, as `ip daddr { … }` in a rule makes it.
        vec![
            add_set("__set0", nameless()),
            add("__set0", plain(0..3)),
            lookup("__set0", None, false),
        ],
        vec![add_set("__set0", nameless())],
        vec![add("__set0", plain(3..4))],
        vec![delete("__set0", plain(0..1))],
        vec![Op::DeleteSet(set("__set0"))],
        vec![lookup("__set0", None, false)],
        vec![
            Op::FlushChain(chain(V4, "t", "c")),
            add_set("__set0", nameless()),
            add("__set0", plain(5..7)),
            lookup("__set0", None, false),
        ],
        vec![Op::FlushChain(chain(V4, "t", "c"))],
        vec![Op::DeleteTable(table(V4, "t"))],
    ];
    in_new_netns(|| {
        let mut kernel = socket();
        let mut fake = FakeKernel::new();
        for ops in transactions {
            let ours = commit(&mut fake, &ops);
            let seen = commit(&mut kernel, &ops);
            match (&seen, &ours) {
                (Ok(seen), Ok(ours)) => assert_eq!(seen.generation, ours.generation, "{ops:?}"),
                (
                    Err(CommitError::Refused { refusals: seen, .. }),
                    Err(CommitError::Refused { refusals: ours, .. }),
                ) => {
                    let errnos = |list: &[Refusal]| {
                        // The table that is added before elements is refused apart.
                        let steps = list.iter().filter(|r| r.op.is_some());
                        steps.map(|r| (r.op, r.errno)).collect::<Vec<_>>()
                    };
                    assert_eq!(errnos(seen), errnos(ours), "{ops:?}");
                }
                _ => panic!("{ops:?}: {seen:?}, in memory {ours:?}"),
            }
            let mut ours = shown(&mut fake);
            let seen = shown(&mut kernel);
            for (in_memory, in_kernel) in ours.0.iter_mut().zip(&seen.0) {
                // Not every kernel reports it.
                in_memory.2 = in_memory.2.filter(|_| in_kernel.2.is_some());
            }
            assert_eq!(seen, ours, "{ops:?}");
        }
    });
}

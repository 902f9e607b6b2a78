//! What the in-memory nf_tables refuses. That the kernel refuses the same is the subject of
//! `tests/kernel_fake.rs`.

use super::*;
use crate::kernel::nft::{ChainView, Committed, ElementView, NftKernel, read_consistently};
use crate::model::IpFamily;
use crate::plan::expr::{Expr, RuleBody, Verdict};
use crate::plan::op::{ChainRef, Element, Place, SetSpec, TableRef};

fn chain(name: &str) -> ChainRef {
    ChainRef {
        table: TableRef {
            family: IpFamily::V4,
            name: "nat".into(),
        },
        name: name.into(),
    }
}

fn add(name: &str) -> Op {
    Op::AddChain {
        chain: chain(name),
        hook: None,
    }
}

fn jump(from: &str, to: &str) -> Op {
    Op::AddRule {
        chain: chain(from),
        place: Place::Append,
        rule: RuleBody {
            exprs: vec![Expr::Verdict(Verdict::Jump(to.into()))],
            ..RuleBody::default()
        },
    }
}

fn commit(kernel: &mut FakeKernel, ops: &[Op]) -> Result<Committed, CommitError> {
    let mut batch = kernel.batch(None);
    for op in ops {
        batch.push_echo(op).unwrap();
    }
    kernel.commit(batch)
}

/// A table with A, which jumps to B.
fn two_chains() -> FakeKernel {
    let mut kernel = FakeKernel::new();
    let table = Op::AddTable(chain("A").table);
    commit(&mut kernel, &[table, add("A"), add("B"), jump("A", "B")]).unwrap();
    kernel
}

fn refused(result: Result<Committed, CommitError>) -> Vec<(Option<usize>, Errno, String)> {
    match result.unwrap_err() {
        CommitError::Refused { refusals, .. } => refusals
            .into_iter()
            .map(|r| (r.op, Errno::from_raw(r.errno), r.object))
            .collect(),
        other => panic!("{other}"),
    }
}

#[test]
fn a_jump_to_a_missing_chain_is_refused_and_leaves_nothing() {
    let mut kernel = two_chains();
    let result = commit(&mut kernel, &[add("C"), jump("C", "D")]);
    let rule = "rule in chain ip nat C".to_owned();
    assert_eq!(refused(result), [(Some(1), Errno::ENOENT, rule)]);
    let mut names = Vec::new();
    let table = chain("A").table;
    kernel
        .dump_chains(&table, &mut |chain| names.push(chain.name.to_owned()))
        .unwrap();
    assert_eq!(names, ["A", "B"]);
}

#[test]
fn a_chain_is_deleted_only_after_what_points_to_it() {
    let mut kernel = two_chains();
    let busy = commit(&mut kernel, &[Op::DeleteChain(chain("B"))]);
    assert_eq!(refused(busy).first().unwrap().1, Errno::EBUSY);
    let wrong_order = [Op::DeleteChain(chain("B")), Op::FlushChain(chain("A"))];
    assert_eq!(refused(commit(&mut kernel, &wrong_order)).len(), 1);
    let right_order = [Op::FlushChain(chain("A")), Op::DeleteChain(chain("B"))];
    commit(&mut kernel, &right_order).unwrap();
}

#[test]
fn a_chain_with_rules_or_without_existence_is_not_deleted() {
    let mut kernel = two_chains();
    let result = commit(
        &mut kernel,
        &[Op::DeleteChain(chain("A")), Op::DeleteChain(chain("X"))],
    );
    let errnos: Vec<_> = refused(result).into_iter().map(|r| r.1).collect();
    assert_eq!(errnos, [Errno::EBUSY, Errno::ENOENT]);
}

#[test]
fn a_stale_generation_is_a_conflict() {
    let mut kernel = two_chains();
    let mut batch = kernel.batch(Some(2));
    batch.push(&add("C")).unwrap();
    kernel.commit_as_foreign(&[add("F")]).unwrap();
    assert!(matches!(
        kernel.commit(batch),
        Err(CommitError::Conflict { expected: 2 })
    ));
}

#[test]
fn a_circle_counts_only_where_packets_reach_it() {
    let mut kernel = two_chains();
    commit(&mut kernel, &[jump("B", "A")]).unwrap();
    let hook = Some(crate::plan::op::Hook {
        chain_type: "nat",
        hook: 3,
        priority: -100,
    });
    let base = Op::AddChain {
        chain: chain("OUTPUT"),
        hook,
    };
    let result = commit(&mut kernel, &[base, jump("OUTPUT", "A")]);
    assert_eq!(refused(result).first().unwrap().1, Errno::EMLINK);
}

#[test]
fn an_interrupted_dump_is_read_again() {
    let mut kernel = two_chains();
    kernel.interrupt_dumps(2);
    let (generation, names) = read_consistently(&mut kernel, |kernel| {
        let mut names = Vec::new();
        let visit = &mut |chain: ChainView<'_>| names.push(chain.name.to_owned());
        kernel.dump_chains(&chain("A").table, visit)?;
        Ok(names)
    })
    .unwrap();
    assert_eq!((generation, names.len()), (2, 2));
}

#[test]
fn a_lost_answer_hides_a_commit_that_took_place() {
    let mut kernel = two_chains();
    kernel.lose_next_answer();
    let result = commit(&mut kernel, &[add("C")]);
    assert!(matches!(result, Err(CommitError::Unconfirmed { .. })));
    assert_eq!(kernel.generation().unwrap(), 3);
}

fn set(name: &str) -> SetRef {
    SetRef {
        table: chain("A").table,
        name: name.into(),
    }
}

fn element(key: u8) -> Element {
    Element {
        key: Box::new([key]),
        data: None,
        interval_end: false,
        comment: None,
    }
}

/// A table with chain A, whose rule looks up a key in set `s`, which has the elements 1 and 2.
fn a_set_in_use() -> FakeKernel {
    let mut kernel = FakeKernel::new();
    let spec = SetSpec {
        key_len: 1,
        ..SetSpec::default()
    };
    let lookup = Expr::Lookup {
        set: "s".into(),
        sreg: 1,
        dreg: None,
        not: false,
    };
    let rule = RuleBody {
        exprs: vec![lookup],
        ..RuleBody::default()
    };
    let ops = [
        Op::AddTable(chain("A").table),
        add("A"),
        Op::AddSet {
            set: set("s"),
            spec,
        },
        Op::AddElements {
            set: set("s"),
            elements: vec![element(1), element(2)],
        },
        Op::AddRule {
            chain: chain("A"),
            place: Place::Append,
            rule,
        },
    ];
    commit(&mut kernel, &ops).unwrap();
    kernel
}

#[test]
fn a_set_that_a_rule_uses_stays_until_the_rule_goes() {
    let mut kernel = a_set_in_use();
    let delete = Op::DeleteSet(set("s"));
    let refused = refused(commit(&mut kernel, std::slice::from_ref(&delete)));
    let object = "set ip nat s".to_owned();
    assert_eq!(refused, [(Some(0), Errno::EBUSY, object)]);
    commit(&mut kernel, &[Op::FlushChain(chain("A")), delete]).unwrap();
}

#[test]
fn a_deletion_that_misses_one_element_deletes_none() {
    let mut kernel = a_set_in_use();
    let delete = Op::DeleteElements {
        set: set("s"),
        elements: vec![element(1), element(3)],
    };
    let refused = refused(commit(&mut kernel, &[delete]));
    let object = "elements of set ip nat s".to_owned();
    assert_eq!(refused, [(Some(0), Errno::ENOENT, object)]);
    let mut found = Vec::new();
    let visit =
        &mut |index, element: Option<ElementView<'_>>| found.push((index, element.is_some()));
    let keys: [&[u8]; 3] = [&[1], &[3], &[2]];
    kernel.get_elements(&set("s"), &keys, visit).unwrap();
    assert_eq!(found, [(0, true), (1, false), (2, true)]);
}

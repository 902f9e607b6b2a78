//! Bringing a kernel to a ruleset while other programs are at work, against the in-memory kernel.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests, where a failure is a failed test"
)]

#[path = "plan_support/ruleset.rs"]
mod ruleset;

use portolan::agent::iptables::sync::{self, Comparison};
use portolan::agent::sync::{Done, SyncError};
use portolan::kernel::nft::NftKernel;
use portolan::kernel::nft::fake::FakeKernel;
use portolan::model::IpFamily;
use portolan::plan::diff::DesiredState;
use portolan::plan::op::{ChainRef, Op, TableRef};
use ruleset::Rules;

fn before() -> Rules {
    Rules(vec![(1, vec![1, 2, 3]), (2, vec![4])])
}

fn after() -> Rules {
    Rules(vec![(1, vec![1, 3]), (3, vec![5, 6])])
}

fn compare<K: NftKernel>(kernel: &mut K, rules: &Rules) -> Comparison {
    sync::compare(kernel, &[DesiredState::of(rules)]).unwrap()
}

fn bring<K: NftKernel>(kernel: &mut K, rules: &Rules) -> Result<Done, SyncError> {
    let comparison = compare(kernel, rules);
    sync::commit(kernel, &[rules], comparison)
}

fn table(name: &str) -> TableRef {
    TableRef {
        family: IpFamily::V4,
        name: name.into(),
    }
}

#[test]
fn bringing_a_kernel_to_what_it_holds_already_commits_nothing() {
    let mut kernel = FakeKernel::new();
    let first = bring(&mut kernel, &before()).unwrap();
    assert_eq!(first.transactions, 1);
    let again = bring(&mut kernel, &before()).unwrap();
    assert_eq!(again, Done::default());
    assert_eq!(kernel.commits(), 1);
}

#[test]
fn a_commit_of_another_program_between_reading_and_writing_is_noticed() {
    let mut kernel = FakeKernel::new();
    bring(&mut kernel, &before()).unwrap();
    kernel.foreign_before_commit(vec![Op::AddTable(table("somebody-elses"))]);
    bring(&mut kernel, &after()).unwrap();
    assert!(compare(&mut kernel, &after()).is_equal());
}

#[test]
fn a_chain_of_ours_emptied_between_reading_and_writing_is_filled_again() {
    let mut kernel = FakeKernel::new();
    bring(&mut kernel, &before()).unwrap();
    let chain = ChainRef {
        table: table("nat"),
        name: "KUBE-SERVICES".into(),
    };
    kernel.foreign_before_commit(vec![Op::FlushChain(chain)]);
    bring(&mut kernel, &after()).unwrap();
    assert!(compare(&mut kernel, &after()).is_equal());
}

#[test]
fn a_commit_whose_answer_was_lost_is_not_made_twice() {
    let mut kernel = FakeKernel::new();
    kernel.lose_next_answer();
    bring(&mut kernel, &before()).unwrap();
    assert_eq!(kernel.commits(), 1);
    assert!(compare(&mut kernel, &before()).is_equal());
}

#[test]
fn reading_starts_again_when_somebody_commits_meanwhile() {
    let mut kernel = FakeKernel::new();
    bring(&mut kernel, &before()).unwrap();
    kernel.interrupt_dumps(3);
    assert!(compare(&mut kernel, &before()).is_equal());
}

#[test]
fn cleaning_up_removes_ours_and_leaves_the_rest() {
    let mut kernel = FakeKernel::new();
    bring(&mut kernel, &before()).unwrap();
    let foreign = ChainRef {
        table: table("nat"),
        name: "SOMEBODY-ELSES".into(),
    };
    kernel
        .commit_as_foreign(&[Op::AddChain {
            chain: foreign,
            hook: None,
        }])
        .unwrap();
    let ours = sync::compare_for_cleanup(&mut kernel, &[IpFamily::V4]).unwrap();
    sync::clean_up(&mut kernel, ours).unwrap();
    let left = sync::compare_for_cleanup(&mut kernel, &[IpFamily::V4]).unwrap();
    assert!(left.is_equal());
    let mut chains = Vec::new();
    kernel
        .dump_chains(&table("nat"), &mut |chain| {
            chains.push(chain.name.to_owned());
        })
        .unwrap();
    assert!(chains.contains(&"SOMEBODY-ELSES".to_owned()), "{chains:?}");
    assert!(
        !chains.iter().any(|name| name.starts_with("KUBE-")),
        "{chains:?}"
    );
}

#[test]
fn a_program_that_commits_without_end_does_not_keep_the_rules_out() {
    let mut kernel = FakeKernel::new();
    for number in 0..100 {
        let name = format!("somebody-elses-{number}");
        kernel.foreign_before_commit(vec![Op::AddTable(table(&name))]);
    }
    bring(&mut kernel, &before()).unwrap();
    let mut foreign = 0;
    kernel
        .dump_tables(IpFamily::V4, &mut |table| {
            foreign += usize::from(table.name.starts_with("somebody"));
        })
        .unwrap();
    assert!(foreign > 1, "the first commits were refused");
    assert!(compare(&mut kernel, &before()).is_equal());
}

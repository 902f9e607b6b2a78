//! Transactions on nf_tables in real network namespaces.
mod kernel_support;

use kernel_support::*;
use portolan::kernel::nft::*;
use portolan::model::IpFamily::V4;
use portolan::plan::expr::Expr;
use portolan::plan::op::Op;

#[test]
fn a_commit_reports_the_generation_it_made() {
    in_new_netns(|| {
        let mut socket = socket();
        let before = generation(&mut socket).unwrap();
        let nat = chain(V4, "nat", "KUBE-A");
        let mut batch = Batch::new(Some(before));
        batch.push(&Op::AddTable(nat.table.clone())).unwrap();
        batch.push(&add_chain(&nat)).unwrap();
        batch.push_echo(&append(&nat, vec![Expr::Counter])).unwrap();
        let committed = batch.commit(&mut socket).unwrap();
        eprintln!("{before} {committed:?}");
        assert_eq!(committed.generation, generation(&mut socket).unwrap());
    });
}

//! What following a change asks of the kernel: one commit, and nothing else.

use portolan::agent::backend::Backend;
use portolan::agent::iptables::live::Follower;
use portolan::kernel::Socket;
use portolan::kernel::nft::{
    ChainView, CommitError, Committed, ElementView, NftKernel, ReadError, RuleView, SetView,
    TableView,
};
use portolan::model::{IpFamily, Snapshot};
use portolan::plan::op::{SetRef, TableRef};
use portolan::translate::iptables::Update;

use super::support::{add_service, assert_in_force, backend};
use crate::kernel_support::{in_new_netns, socket};

/// A kernel that counts what it is asked.
struct Counting {
    socket: Socket,
    questions: usize,
    commits: usize,
}

impl Counting {
    fn ask(&mut self) -> &mut Socket {
        self.questions += 1;
        &mut self.socket
    }
}

impl NftKernel for Counting {
    type Batch = <Socket as NftKernel>::Batch;

    fn batch(&self, generation: Option<u32>) -> Self::Batch {
        self.socket.batch(generation)
    }

    fn commit(&mut self, batch: Self::Batch) -> Result<Committed, CommitError> {
        self.commits += 1;
        NftKernel::commit(&mut self.socket, batch)
    }

    fn generation(&mut self) -> Result<u32, ReadError> {
        self.ask().generation()
    }

    fn dump_tables(
        &mut self,
        family: IpFamily,
        visit: &mut dyn FnMut(TableView<'_>),
    ) -> Result<(), ReadError> {
        self.ask().dump_tables(family, visit)
    }

    fn dump_family_chains(
        &mut self,
        family: IpFamily,
        visit: &mut dyn FnMut(ChainView<'_>),
    ) -> Result<(), ReadError> {
        self.ask().dump_family_chains(family, visit)
    }

    fn dump_chains(
        &mut self,
        table: &TableRef,
        visit: &mut dyn FnMut(ChainView<'_>),
    ) -> Result<(), ReadError> {
        self.ask().dump_chains(table, visit)
    }

    fn dump_rules(
        &mut self,
        table: &TableRef,
        chain: Option<&str>,
        visit: &mut dyn FnMut(RuleView<'_>),
    ) -> Result<(), ReadError> {
        self.ask().dump_rules(table, chain, visit)
    }

    fn dump_sets(
        &mut self,
        table: &TableRef,
        visit: &mut dyn FnMut(SetView<'_>),
    ) -> Result<(), ReadError> {
        self.ask().dump_sets(table, visit)
    }

    fn dump_elements(
        &mut self,
        set: &SetRef,
        visit: &mut dyn FnMut(ElementView<'_>),
    ) -> Result<(), ReadError> {
        self.ask().dump_elements(set, visit)
    }

    fn get_elements(
        &mut self,
        set: &SetRef,
        keys: &[&[u8]],
        visit: &mut dyn FnMut(usize, Option<ElementView<'_>>),
    ) -> Result<(), ReadError> {
        self.ask().get_elements(set, keys, visit)
    }
}

#[test]
fn a_change_is_one_commit_and_no_question_and_as_long_as_the_service() {
    in_new_netns(|| {
        let mut snapshot = Snapshot::default();
        for number in 0..50 {
            add_service(&mut snapshot, number, 10);
        }
        let mut kernel = Counting {
            socket: socket(),
            questions: 0,
            commits: 0,
        };
        let backend = backend(&snapshot);
        backend.prerequisites().ensure(&mut socket()).unwrap();
        let adopted = Follower::adopt(&mut kernel, &backend, &snapshot, false).unwrap();
        let mut follower = adopted.follower.unwrap();
        (kernel.questions, kernel.commits) = (0, 0);
        let mut messages = Vec::new();
        for (number, endpoints) in [(7, 11), (7, 10), (60, 10), (60, 0)] {
            let name = add_service(&mut snapshot, number, endpoints);
            let updates = follower.plan(&snapshot, &[name].into()).unwrap();
            assert!(!updates.iter().all(Update::is_empty));
            let (done, handles) = follower.commit(&mut kernel, &updates).unwrap();
            assert!(follower.settle(updates, handles));
            messages.push(done.messages);
        }
        assert_eq!((kernel.questions, kernel.commits), (0, 4));
        // One endpoint more: its chain and two rules, and the choice among eleven, of which the
        // first rule marks traffic from outside. One less: the same but for the chain that goes.
        assert_eq!(
            messages,
            [3 + 1 + 12, 1 + 11 + 2, 10 * 3 + 12 + 1, 10 * 2 + 2 + 2]
        );
        assert_in_force(&snapshot);
    });
}

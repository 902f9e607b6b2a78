//! The boundary between portolan and nf_tables, as traits, so that everything above can be tried
//! against [`fake::FakeKernel`](super::fake::FakeKernel).

use std::thread;
use std::time::{Duration, Instant};

use super::batch::{Batch, Committed};
use super::error::{CommitError, EncodeError, ReadError};
use super::read;
use super::read_set;
use super::view::{ChainView, ElementView, RuleView, SetView, TableView};
use crate::kernel::netlink::Socket;
use crate::model::IpFamily;
use crate::plan::op::{Op, SetRef, TableRef};

/// Steps being collected for one transaction.
pub trait NftBatch {
    /// Adds a step.
    ///
    /// # Errors
    /// The step cannot be put into a message; the batch is as it was before.
    fn push(&mut self, op: &Op) -> Result<(), EncodeError>;

    /// Adds a step and asks for the handle of the object it makes.
    ///
    /// # Errors
    /// As [`NftBatch::push`].
    fn push_echo(&mut self, op: &Op) -> Result<(), EncodeError>;

    /// Size so far, in bytes.
    fn len_bytes(&self) -> usize;

    /// Steps so far.
    fn len(&self) -> usize;

    /// Whether no step was pushed yet.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// nf_tables of one network namespace.
///
/// A dump visits what there is at that moment. If anybody commits while it runs it ends in
/// [`ReadError::Interrupted`], and what was visited must be thrown away; [`read_consistently`]
/// does that.
pub trait NftKernel {
    /// Transactions of this kernel.
    type Batch: NftBatch;

    /// Opens a transaction. With a generation, the commit fails with [`CommitError::Conflict`] if
    /// anybody has committed since.
    fn batch(&self, generation: Option<u32>) -> Self::Batch;

    /// Commits: all steps or none.
    ///
    /// # Errors
    /// See [`CommitError`].
    fn commit(&mut self, batch: Self::Batch) -> Result<Committed, CommitError>;

    /// The present generation: a number that every commit by anybody changes.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn generation(&mut self) -> Result<u32, ReadError>;

    /// Visits the tables of a family.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn dump_tables(
        &mut self,
        family: IpFamily,
        visit: &mut dyn FnMut(TableView<'_>),
    ) -> Result<(), ReadError>;

    /// Visits the chains of all tables of a family: one pass, which costs the kernel seconds at
    /// 100 000 chains.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn dump_family_chains(
        &mut self,
        family: IpFamily,
        visit: &mut dyn FnMut(ChainView<'_>),
    ) -> Result<(), ReadError>;

    /// Visits the chains of a table; none if there is no such table.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn dump_chains(
        &mut self,
        table: &TableRef,
        visit: &mut dyn FnMut(ChainView<'_>),
    ) -> Result<(), ReadError>;

    /// Visits the rules of a table, or of one chain of it, chain by chain in their order; none if
    /// there is no such table or chain.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn dump_rules(
        &mut self,
        table: &TableRef,
        chain: Option<&str>,
        visit: &mut dyn FnMut(RuleView<'_>),
    ) -> Result<(), ReadError>;

    /// Visits the sets and maps of a table, nameless ones among them; none if there is no such
    /// table.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn dump_sets(
        &mut self,
        table: &TableRef,
        visit: &mut dyn FnMut(SetView<'_>),
    ) -> Result<(), ReadError>;

    /// Visits the elements of a set, in no order; none if there is no such set. The cost is
    /// quadratic: above some 100 000 elements use [`NftKernel::get_elements`].
    ///
    /// # Errors
    /// See [`ReadError`].
    fn dump_elements(
        &mut self,
        set: &SetRef,
        visit: &mut dyn FnMut(ElementView<'_>),
    ) -> Result<(), ReadError>;

    /// Asks for elements by key and visits each key's index, in order, with the element, or with
    /// `None` if there is none.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn get_elements(
        &mut self,
        set: &SetRef,
        keys: &[&[u8]],
        visit: &mut dyn FnMut(usize, Option<ElementView<'_>>),
    ) -> Result<(), ReadError>;
}

/// Reads, with as many dumps as `read` makes, what belongs to one generation, and gives that
/// generation: the one to bind the next batch to.
///
/// `read` starts anew with nothing whenever somebody committed in between.
///
/// # Errors
/// [`ReadError::Unstable`] if that went on for [`READ_PATIENCE`]; otherwise what `read` reports.
pub fn read_consistently<K: NftKernel, T>(
    kernel: &mut K,
    read: impl FnMut(&mut K) -> Result<T, ReadError>,
) -> Result<(u32, T), ReadError> {
    read_within(kernel, READ_PATIENCE, read)
}

/// How long others may get in the way of reading before it is given up.
pub const READ_PATIENCE: Duration = Duration::from_secs(10);

/// As [`read_consistently`], with a patience of one's own. Ten attempts are always made.
///
/// # Errors
/// As [`read_consistently`].
pub fn read_within<K: NftKernel, T>(
    kernel: &mut K,
    patience: Duration,
    mut read: impl FnMut(&mut K) -> Result<T, ReadError>,
) -> Result<(u32, T), ReadError> {
    const ATTEMPTS: u32 = 10;
    const FIRST_PAUSE: Duration = Duration::from_millis(2);
    let started = Instant::now();
    let mut attempts = 0;
    while attempts < ATTEMPTS || started.elapsed() < patience {
        if attempts > 0 {
            // A loader such as iptables-restore commits once; it only has to be given time. A
            // program that commits without end leaves gaps, one of which is long enough.
            thread::sleep(FIRST_PAUSE * 2u32.saturating_pow(attempts.min(4)));
        }
        attempts += 1;
        let before = kernel.generation()?;
        match read(kernel) {
            Ok(value) if kernel.generation()? == before => return Ok((before, value)),
            Ok(_) | Err(ReadError::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
    Err(ReadError::Unstable { attempts })
}

impl NftBatch for Batch {
    fn push(&mut self, op: &Op) -> Result<(), EncodeError> {
        Self::push(self, op)
    }

    fn push_echo(&mut self, op: &Op) -> Result<(), EncodeError> {
        Self::push_echo(self, op)
    }

    fn len_bytes(&self) -> usize {
        Self::len_bytes(self)
    }

    fn len(&self) -> usize {
        Self::len(self)
    }
}

impl NftKernel for Socket {
    type Batch = Batch;

    fn batch(&self, generation: Option<u32>) -> Batch {
        Batch::new(generation)
    }

    fn commit(&mut self, batch: Batch) -> Result<Committed, CommitError> {
        batch.commit(self)
    }

    fn generation(&mut self) -> Result<u32, ReadError> {
        read::generation(self)
    }

    fn dump_tables(
        &mut self,
        family: IpFamily,
        visit: &mut dyn FnMut(TableView<'_>),
    ) -> Result<(), ReadError> {
        read::dump_tables(self, family, visit)
    }

    fn dump_family_chains(
        &mut self,
        family: IpFamily,
        visit: &mut dyn FnMut(ChainView<'_>),
    ) -> Result<(), ReadError> {
        read::dump_family_chains(self, family, visit)
    }

    fn dump_chains(
        &mut self,
        table: &TableRef,
        visit: &mut dyn FnMut(ChainView<'_>),
    ) -> Result<(), ReadError> {
        read::dump_chains(self, table, visit)
    }

    fn dump_rules(
        &mut self,
        table: &TableRef,
        chain: Option<&str>,
        visit: &mut dyn FnMut(RuleView<'_>),
    ) -> Result<(), ReadError> {
        read::dump_rules(self, table, chain, visit)
    }

    fn dump_sets(
        &mut self,
        table: &TableRef,
        visit: &mut dyn FnMut(SetView<'_>),
    ) -> Result<(), ReadError> {
        read_set::dump_sets(self, table, visit)
    }

    fn dump_elements(
        &mut self,
        set: &SetRef,
        visit: &mut dyn FnMut(ElementView<'_>),
    ) -> Result<(), ReadError> {
        read_set::dump_elements(self, set, visit)
    }

    fn get_elements(
        &mut self,
        set: &SetRef,
        keys: &[&[u8]],
        visit: &mut dyn FnMut(usize, Option<ElementView<'_>>),
    ) -> Result<(), ReadError> {
        read_set::get_elements(self, set, keys, visit)
    }
}

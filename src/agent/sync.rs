//! Making the kernel hold what a ruleset says: read, plan, commit, and again if somebody else was
//! quicker.

use crate::kernel::nft::{
    CommitError, EncodeError, NftBatch, NftKernel, ReadError, read_consistently,
};
use crate::model::IpFamily;
use crate::plan::diff::{DesiredState, Plan, PresentState, Step, plan};
use crate::plan::op::TableRef;
use crate::plan::xtables::rule::{XtRuleset, XtTable};

/// A batch may grow to this many bytes before what nobody can reach yet is committed on its own.
/// Nearly every change fits, and is one transaction.
pub const STAGE_BYTES: usize = 48 << 20;

/// How often a commit is tried when other programs change nf_tables at the same time.
const ATTEMPTS: u32 = 10;

/// Why the kernel does not hold what it should. It holds what it held before, but for chains that
/// nothing points to.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// Present rules could not be read.
    #[error("reading the present rules")]
    Read(#[from] ReadError),
    /// A step could not be worded as a message.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The kernel did not take the changes.
    #[error("committing the changes; the rules are as they were before")]
    Commit(#[from] CommitError),
    /// Other programs kept changing nf_tables.
    #[error("other programs changed nf_tables in between, {ATTEMPTS} times over; nothing was done")]
    Busy,
}

/// What was read and what follows from it, at one generation of nf_tables.
#[derive(Debug)]
pub struct Comparison {
    /// The generation that was read.
    pub generation: u32,
    /// Present state by family, in the order asked for.
    pub present: Vec<PresentState>,
    /// The steps from there to the desired state, likewise.
    pub plans: Vec<Plan>,
}

impl Comparison {
    /// Nothing is to be done.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.plans.iter().all(Plan::is_empty)
    }
}

/// What a sync did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Transactions committed.
    pub transactions: usize,
    /// Messages in them.
    pub messages: usize,
    /// Bytes sent.
    pub bytes: usize,
}

/// Reads what the kernel holds of the given families, all of one generation.
///
/// # Errors
/// No permission, or the kernel never held still long enough.
pub fn read_present<K: NftKernel>(
    kernel: &mut K,
    families: &[IpFamily],
) -> Result<(u32, Vec<PresentState>), ReadError> {
    read_consistently(kernel, |kernel| {
        families.iter().map(|family| read_family(kernel, *family)).collect()
    })
}

fn read_family<K: NftKernel>(kernel: &mut K, family: IpFamily) -> Result<PresentState, ReadError> {
    let mut present = PresentState::new(family);
    let mut tables = Vec::new();
    kernel.dump_tables(family, &mut |table| {
        tables.extend(
            [XtTable::Filter, XtTable::Nat, XtTable::Mangle]
                .into_iter()
                .find(|known| known.name() == table.name),
        );
    })?;
    for table in tables {
        present.add_table(table);
        let name = TableRef { family, name: table.name().into() };
        kernel.dump_chains(&name, &mut |chain| {
            present.add_chain(table, chain.name, chain.base.is_some(), chain.uses);
        })?;
        kernel.dump_rules(&name, None, &mut |rule| {
            present.add_rule(table, rule.chain, rule.handle, &rule.body);
        })?;
    }
    Ok(present)
}

/// Compares rulesets with the kernel.
///
/// # Errors
/// See [`read_present`].
pub fn compare<K: NftKernel>(
    kernel: &mut K,
    desired: &[DesiredState],
) -> Result<Comparison, ReadError> {
    let families: Vec<IpFamily> = desired.iter().map(DesiredState::family).collect();
    let (generation, present) = read_present(kernel, &families)?;
    let plans = desired.iter().zip(&present).map(|(desired, present)| plan(desired, present));
    Ok(Comparison { generation, plans: plans.collect(), present })
}

/// Makes the kernel hold `rulesets`, starting from a comparison that was already made.
///
/// Both families change in one transaction. Only a load above [`STAGE_BYTES`] takes several:
/// chains that nothing points to yet go first, and the last one makes them reachable, so that
/// packets see the old or the new rules of a family and nothing between.
///
/// # Errors
/// See [`SyncError`].
pub fn commit<K: NftKernel>(
    kernel: &mut K,
    rulesets: &[&dyn XtRuleset],
    desired: &[DesiredState],
    mut comparison: Comparison,
) -> Result<Done, SyncError> {
    let mut done = Done::default();
    for attempt in 1..=ATTEMPTS {
        match try_commit(kernel, rulesets, &comparison, &mut done) {
            Ok(()) => return Ok(done),
            Err(SyncError::Commit(error)) if error.wants_reread() => {
                tracing::info!(attempt, %error, "reading again");
            }
            Err(error) => return Err(error),
        }
        comparison = compare(kernel, desired)?;
    }
    Err(SyncError::Busy)
}

fn try_commit<K: NftKernel>(
    kernel: &mut K,
    rulesets: &[&dyn XtRuleset],
    comparison: &Comparison,
    done: &mut Done,
) -> Result<(), SyncError> {
    let mut load = Load::new(kernel, comparison.generation, done);
    for (plan, ruleset) in comparison.plans.iter().zip(rulesets) {
        load.begin_family()?;
        plan.ops(*ruleset, &mut |step| load.take(step))?;
    }
    load.flush()
}

/// A load on its way into the kernel: one open batch, and the generation it is bound to.
struct Load<'a, K: NftKernel> {
    kernel: &'a mut K,
    batch: K::Batch,
    generation: u32,
    /// The batch holds only steps that packets cannot notice.
    unseen: bool,
    done: &'a mut Done,
}

impl<'a, K: NftKernel> Load<'a, K> {
    fn new(kernel: &'a mut K, generation: u32, done: &'a mut Done) -> Self {
        let batch = kernel.batch(Some(generation));
        Self { kernel, batch, generation, unseen: true, done }
    }

    /// A family whose load is large is not held back for the other's.
    fn begin_family(&mut self) -> Result<(), SyncError> {
        if self.batch.len_bytes() > STAGE_BYTES {
            self.flush()?;
        }
        self.unseen = self.batch.is_empty();
        Ok(())
    }

    fn take(&mut self, step: Step) -> Result<(), SyncError> {
        match step {
            Step::Op(op) => self.batch.push(&op)?,
            Step::StagePoint if self.unseen && self.batch.len_bytes() > STAGE_BYTES => {
                self.flush()?;
            }
            Step::StagePoint => {}
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SyncError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let next = self.kernel.batch(None);
        let batch = std::mem::replace(&mut self.batch, next);
        let committed = self.kernel.commit(batch)?;
        tracing::debug!(
            messages = committed.messages,
            bytes = committed.bytes,
            generation = committed.generation,
            "committed"
        );
        self.done.transactions += 1;
        self.done.messages += committed.messages;
        self.done.bytes += committed.bytes;
        self.generation = committed.generation;
        self.batch = self.kernel.batch(Some(self.generation));
        Ok(())
    }
}

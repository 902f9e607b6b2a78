//! Making the kernel hold what a ruleset says: read, plan, commit, and again if somebody else was
//! quicker.

use crate::kernel::nft::{
    CommitError, EncodeError, NftBatch, NftKernel, ReadError, read_consistently,
};
use crate::model::IpFamily;
use crate::plan::diff::{DesiredState, NoRuleset, Plan, PresentState, Step, cleanup, plan};
use crate::plan::op::TableRef;
use crate::plan::xtables::rule::{XtRuleset, XtTable};

/// A batch may grow to this many bytes before what nobody can reach yet is committed on its own.
/// Nearly every change fits, and is one transaction.
pub const STAGE_BYTES: usize = 48 << 20;

/// How often a commit is tried when other programs change nf_tables at the same time.
const ATTEMPTS: u32 = 10;
/// How many of them are bound to the generation that was read.
const BOUND_ATTEMPTS: u32 = 6;

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
    #[error("other programs changed nf_tables in between, {ATTEMPTS} times over; try again")]
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
        families
            .iter()
            .map(|family| read_family(kernel, *family))
            .collect()
    })
}

fn read_family<K: NftKernel>(kernel: &mut K, family: IpFamily) -> Result<PresentState, ReadError> {
    let mut present = PresentState::new(family);
    kernel.dump_tables(family, &mut |table| {
        if let Some(table) = known_table(table.name) {
            present.add_table(table);
        }
    })?;
    let mut chains = Vec::<(XtTable, Box<str>)>::new();
    kernel.dump_family_chains(family, &mut |chain| {
        if let Some(table) = known_table(chain.table) {
            present.add_chain(table, chain.name, chain.base.is_some(), chain.uses);
            chains.push((table, chain.name.into()));
        }
    })?;
    // Chain by chain, not table by table: that would list the chains again.
    for (table, chain) in chains {
        let name = TableRef {
            family,
            name: table.name().into(),
        };
        kernel.dump_rules(&name, Some(&chain), &mut |rule| {
            present.add_rule(table, rule.chain, rule.handle, &rule.body);
        })?;
    }
    Ok(present)
}

/// The tables that iptables rules are in.
fn known_table(name: &str) -> Option<XtTable> {
    [XtTable::Filter, XtTable::Nat, XtTable::Mangle]
        .into_iter()
        .find(|table| table.name() == name)
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
    let plans = desired
        .iter()
        .zip(&present)
        .map(|(desired, present)| plan(desired, present));
    Ok(Comparison {
        generation,
        plans: plans.collect(),
        present,
    })
}

/// Finds what is ours in the kernel; the plans remove it.
///
/// # Errors
/// See [`read_present`].
pub fn compare_for_cleanup<K: NftKernel>(
    kernel: &mut K,
    families: &[IpFamily],
) -> Result<Comparison, ReadError> {
    let (generation, present) = read_present(kernel, families)?;
    Ok(Comparison {
        generation,
        plans: present.iter().map(cleanup).collect(),
        present,
    })
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
    comparison: Comparison,
) -> Result<Done, SyncError> {
    until_done(kernel, rulesets, comparison, |kernel| {
        let desired: Vec<DesiredState> = rulesets.iter().map(|r| DesiredState::of(*r)).collect();
        compare(kernel, &desired)
    })
}

/// Removes what [`compare_for_cleanup`] found.
///
/// # Errors
/// See [`SyncError`].
pub fn clean_up<K: NftKernel>(kernel: &mut K, comparison: Comparison) -> Result<Done, SyncError> {
    let families: Vec<IpFamily> = comparison.plans.iter().map(Plan::family).collect();
    let nothing: Vec<NoRuleset> = families.iter().copied().map(NoRuleset).collect();
    let nothing: Vec<&dyn XtRuleset> = nothing.iter().map(|r| r as &dyn XtRuleset).collect();
    until_done(kernel, &nothing, comparison, |kernel| {
        compare_for_cleanup(kernel, &families)
    })
}

/// Commits a comparison, making it `again` for as long as other programs commit in between.
///
/// The first attempts are bound to the generation that was read, so that nothing is decided on
/// stale facts. A program that commits without end would keep them from ever succeeding: the last
/// attempts are not bound, and are followed by another comparison instead.
fn until_done<K: NftKernel>(
    kernel: &mut K,
    rulesets: &[&dyn XtRuleset],
    mut comparison: Comparison,
    mut again: impl FnMut(&mut K) -> Result<Comparison, ReadError>,
) -> Result<Done, SyncError> {
    let mut done = Done::default();
    for attempt in 1..=ATTEMPTS {
        let bound = attempt <= BOUND_ATTEMPTS;
        match try_commit(kernel, rulesets, &comparison, bound, &mut done) {
            Ok(()) if bound => return Ok(done),
            Ok(()) => {}
            Err(SyncError::Commit(error)) if error.wants_reread() => {
                tracing::info!(attempt, %error, "reading again");
            }
            // Decided on stale facts: an object was gone or there already.
            Err(SyncError::Commit(CommitError::Refused { .. })) if !bound => {}
            Err(error) => return Err(error),
        }
        comparison = again(kernel)?;
        if comparison.is_equal() {
            return Ok(done);
        }
    }
    Err(SyncError::Busy)
}

fn try_commit<K: NftKernel>(
    kernel: &mut K,
    rulesets: &[&dyn XtRuleset],
    comparison: &Comparison,
    bound: bool,
    done: &mut Done,
) -> Result<(), SyncError> {
    let mut load = Load::new(kernel, bound.then_some(comparison.generation), done);
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
    /// The generation to bind to; `None` where commits are not bound.
    generation: Option<u32>,
    /// The batch holds only steps that packets cannot notice.
    unseen: bool,
    done: &'a mut Done,
}

impl<'a, K: NftKernel> Load<'a, K> {
    fn new(kernel: &'a mut K, generation: Option<u32>, done: &'a mut Done) -> Self {
        let batch = kernel.batch(generation);
        Self {
            kernel,
            batch,
            generation,
            unseen: true,
            done,
        }
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
        self.generation = self.generation.map(|_| committed.generation);
        self.batch = self.kernel.batch(self.generation);
        Ok(())
    }
}

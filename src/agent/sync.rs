//! Committing a comparison: one transaction where it fits, and again if somebody else was quicker.
//!
//! The same for all modes: what is compared, and with what, is the mode's.

use crate::kernel::ipvs;
use crate::kernel::nft::{CommitError, EncodeError, NftBatch, NftKernel, ReadError};
use crate::plan::diff::Step;

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
    /// What the IPVS mode needs of the kernel is not there.
    #[error(transparent)]
    Capability(#[from] ipvs::ProbeError),
    /// IPVS could not be read or changed.
    #[error(transparent)]
    Ipvs(#[from] ipvs::IpvsError),
    /// The kernel refused steps of a change of IPVS; the others are done.
    #[error("the kernel refused {} of the changes of IPVS: {}", refused.len(), listed(refused))]
    Steps {
        /// Which.
        refused: Vec<ipvs::Refused>,
    },
    /// Other programs kept changing nf_tables.
    #[error("other programs changed nf_tables in between, {ATTEMPTS} times over; try again")]
    Busy,
}

/// The first few.
fn listed(refused: &[ipvs::Refused]) -> String {
    const SHOWN: usize = 5;
    let mut texts: Vec<_> = refused
        .iter()
        .take(SHOWN)
        .map(ToString::to_string)
        .collect();
    if refused.len() > SHOWN {
        texts.push(format!("and {} more", refused.len() - SHOWN));
    }
    texts.join("; ")
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
    /// The generation that the last of them made.
    pub generation: Option<u32>,
}

/// What was read of the kernel and what follows from it, at one generation of nf_tables.
pub trait Comparison {
    /// The generation that was read.
    fn generation(&self) -> u32;

    /// Nothing is to be done.
    fn is_equal(&self) -> bool;

    /// Streams the steps that lead to the desired state.
    ///
    /// # Errors
    /// What `load` reports; nothing is streamed after it.
    fn emit<K: NftKernel>(&self, load: &mut Load<'_, K>) -> Result<(), SyncError>;
}

/// Commits a comparison, making it `again` for as long as other programs commit in between.
///
/// The first attempts are bound to the generation that was read, so that nothing is decided on
/// stale facts. A program that commits without end would keep them from ever succeeding: the last
/// attempts are not bound, and are followed by another comparison instead. Gives back what it took
/// and the comparison that the kernel now corresponds to.
///
/// # Errors
/// See [`SyncError`].
pub fn until_done<K: NftKernel, C: Comparison, E: Into<SyncError>>(
    kernel: &mut K,
    mut comparison: C,
    mut again: impl FnMut(&mut K) -> Result<C, E>,
) -> Result<(Done, C), SyncError> {
    let mut done = Done::default();
    for attempt in 1..=ATTEMPTS {
        let bound = attempt <= BOUND_ATTEMPTS;
        match try_commit(kernel, &comparison, bound, &mut done) {
            Ok(()) if bound => return Ok((done, comparison)),
            Ok(()) => {}
            Err(SyncError::Commit(error)) if error.wants_reread() => {
                tracing::info!(attempt, %error, "reading again");
            }
            // Decided on stale facts: an object was gone or there already.
            Err(SyncError::Commit(CommitError::Refused { .. })) if !bound => {}
            Err(error) => return Err(error),
        }
        comparison = again(kernel).map_err(Into::into)?;
        if comparison.is_equal() {
            return Ok((done, comparison));
        }
    }
    Err(SyncError::Busy)
}

fn try_commit<K: NftKernel>(
    kernel: &mut K,
    comparison: &impl Comparison,
    bound: bool,
    done: &mut Done,
) -> Result<(), SyncError> {
    let generation = bound.then_some(comparison.generation());
    let mut load = Load::new(kernel, generation, done);
    comparison.emit(&mut load)?;
    load.flush()
}

/// A load on its way into the kernel: one open batch, and the generation it is bound to.
pub struct Load<'a, K: NftKernel> {
    kernel: &'a mut K,
    batch: K::Batch,
    /// The generation to bind to; `None` where commits are not bound.
    generation: Option<u32>,
    /// The batch holds only steps that packets cannot notice.
    unseen: bool,
    /// Beyond this many bytes such steps are committed on their own.
    stage_bytes: usize,
    done: &'a mut Done,
}

impl<'a, K: NftKernel> Load<'a, K> {
    /// A load with nothing in it yet. With a generation, it fails if anybody has committed since.
    pub fn new(kernel: &'a mut K, generation: Option<u32>, done: &'a mut Done) -> Self {
        let batch = kernel.batch(generation);
        Self {
            kernel,
            batch,
            generation,
            unseen: true,
            stage_bytes: STAGE_BYTES,
            done,
        }
    }

    /// From here on commits what nobody can reach yet beyond this many bytes, instead of
    /// [`STAGE_BYTES`].
    pub fn stage_at(&mut self, bytes: usize) {
        self.stage_bytes = bytes;
    }

    /// A family whose load is large is not held back for the other's.
    ///
    /// # Errors
    /// The kernel did not take what came before.
    pub fn begin_family(&mut self) -> Result<(), SyncError> {
        if self.batch.len_bytes() > STAGE_BYTES {
            self.flush()?;
        }
        self.unseen = self.batch.is_empty();
        Ok(())
    }

    /// Takes a step.
    ///
    /// # Errors
    /// The step cannot be worded, or the kernel did not take those before it.
    pub fn take(&mut self, step: Step) -> Result<(), SyncError> {
        match step {
            Step::Op(op) => self.batch.push(&op)?,
            Step::StagePoint if self.unseen && self.batch.len_bytes() > self.stage_bytes => {
                self.flush()?;
            }
            Step::StagePoint => {}
        }
        Ok(())
    }

    /// Commits what was taken and not committed yet.
    ///
    /// # Errors
    /// The kernel refused it.
    pub fn flush(&mut self) -> Result<(), SyncError> {
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
        self.done.generation = Some(committed.generation);
        self.generation = self.generation.map(|_| committed.generation);
        self.batch = self.kernel.batch(self.generation);
        Ok(())
    }
}

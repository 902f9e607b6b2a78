//! The seam between the loop and a mode: who makes the kernel hold a snapshot.
//!
//! A programmer lives on one thread that is inside the target network namespace, from its making
//! to its end. It must not watch, wait, retry later or count: the loop does that.

use std::io;
use std::ops::AddAssign;
use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::agent::facts::FactsError;
use crate::agent::sync::SyncError;
use crate::kernel::nft::ReadError;
use crate::model::{IpFamily, Snapshot, Touched};

/// Makes the kernel hold snapshots, one after the other.
///
/// Every method leaves the kernel as it was if it fails, but for objects that nothing points to;
/// the loop then calls again, with everything that was touched meanwhile.
pub trait Programmer {
    /// The families it programs.
    fn families(&self) -> &[IpFamily];

    /// Takes over what the kernel holds and changes what differs. Called once, first, until it
    /// succeeds.
    ///
    /// # Errors
    /// The kernel does not hold the snapshot, or not all of it
    /// ([`is_partial`](ProgramError::is_partial)): the loop then goes on, and tries the rest again.
    fn start(&mut self, snapshot: &Snapshot) -> Result<Programmed, ProgramError>;

    /// Programs what changed since the last success: `touched` names all of it, and `snapshot` is
    /// the state after it.
    ///
    /// # Errors
    /// As [`start`](Self::start). The next call's `touched` holds this one's as well.
    fn update(
        &mut self,
        snapshot: &Snapshot,
        touched: &Touched,
    ) -> Result<Programmed, ProgramError>;

    /// Reads the kernel again and changes what differs, as if nothing was known about it.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    fn resync(&mut self, snapshot: &Snapshot, why: Resync) -> Result<Programmed, ProgramError>;

    /// Something to wait for: when it becomes readable, or has an error, the loop calls
    /// [`listen`](Self::listen). Asked for once, after [`start`](Self::start). A duplicate of the
    /// monitor's descriptor will do.
    fn wakes(&self) -> Option<io::Result<OwnedFd>> {
        None
    }

    /// Takes everything that was heard of other programs since the last call. Also called after
    /// each of the methods above, so that they may put something there. If there is any of it, the loop calls [`resync`](Self::resync), at once or damped.
    ///
    /// # Errors
    /// Nothing can be heard any more; the loop goes on with [`disturbed`](Self::disturbed).
    fn listen(&mut self) -> Result<Vec<Foreign>, ProgramError> {
        Ok(Vec::new())
    }

    /// Asks, at next to no cost, whether the kernel may hold something else than was programmed,
    /// or something else should be programmed because the node itself changed. The loop asks now
    /// and then, for those who cannot listen and for what cannot be heard.
    ///
    /// # Errors
    /// The kernel does not answer.
    fn disturbed(&mut self) -> Result<bool, ProgramError> {
        Ok(false)
    }

    /// Removes from the kernel everything that is ours.
    ///
    /// # Errors
    /// Something of it is still there.
    fn cleanup(&mut self) -> Result<Programmed, ProgramError>;
}

/// Something another program did to what is ours, or may have done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// The kind of damage, a value of the label of `portolan_repairs_total`: `rules_deleted`,
    /// `overrun`.
    pub damage: &'static str,
    /// What was done, by whom, in a sentence for the log.
    pub text: String,
}

/// Why everything is compared again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resync {
    /// Programming failed, so what the kernel holds is not certain.
    AfterFailure,
    /// Somebody else changed rules.
    Foreign,
    /// The node itself changed, or something was not heard.
    Disturbed,
    /// The user asked (SIGHUP).
    Asked,
}

impl Resync {
    /// A word for logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AfterFailure => "programming failed before",
            Self::Foreign => "somebody else changed rules",
            Self::Disturbed => "the node may have changed",
            Self::Asked => "asked for",
        }
    }
}

/// Why the kernel does not hold what it should. Every kind may pass: all are tried again.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// What rules depend on besides the snapshot could not be found out or set.
    #[error(transparent)]
    Facts(#[from] FactsError),
    /// The kernel could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Planning or committing failed.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// Anything else that a mode may need.
    #[error(transparent)]
    Other(#[from] Box<dyn std::error::Error + Send + Sync>),
}

impl ProgramError {
    /// The kernel refused some of it and took the rest, in a mode without transactions: what one
    /// Service asks for does not keep the others from being served.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        matches!(self, Self::Sync(SyncError::Steps { .. }))
    }
}

/// What programming took, and what the kernel holds now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Programmed {
    /// Transactions committed; none if nothing differed.
    pub transactions: usize,
    /// Messages in them.
    pub messages: usize,
    /// Bytes sent.
    pub bytes: usize,
    /// Time within commits: encoding, sending, and the kernel's own work.
    pub commit_time: Duration,
    /// The kernel was compared in full, not only where the snapshot changed.
    pub full: bool,
    /// What is programmed now, by table or set; left empty where counting would cost more than
    /// the change did, so that the last counts stay.
    pub sizes: Vec<Size>,
}

/// How many rules or elements a part of the kernel's state has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Size {
    /// Family.
    pub family: IpFamily,
    /// iptables mode: table (`filter`, `nat`); nftables mode: set or map.
    pub part: &'static str,
    /// Rules in the one mode, elements in the other.
    pub count: usize,
}

impl Programmed {
    /// Nothing was written.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.transactions == 0
    }
}

/// Adds up what several steps took; of the sizes the later ones count.
impl AddAssign for Programmed {
    fn add_assign(&mut self, later: Self) {
        self.transactions += later.transactions;
        self.messages += later.messages;
        self.bytes += later.bytes;
        self.commit_time += later.commit_time;
        self.full |= later.full;
        if !later.sizes.is_empty() {
            self.sizes = later.sizes;
        }
    }
}

//! What every mode can do: compare a node's desired rules with the kernel, commit the difference,
//! and put it into words.
//!
//! A [`Backend`] holds the settings of one mode on one node; the snapshot is handed to each call,
//! so that a backend outlives changes of Services. Must not know command-line output.

use super::facts::{NodeFacts, Prerequisites};
use super::run::programmer::Size;
use super::sync::{Done, SyncError};
use crate::config::ProxyConfig;
use crate::kernel::nft::NftKernel;
use crate::model::{IpFamily, Snapshot};
use crate::plan::diff::ServiceChange;

/// The changes of one family in words.
#[derive(Clone, Debug, PartialEq)]
pub struct FamilyChanges {
    /// The family.
    pub family: IpFamily,
    /// The services that change.
    pub services: Vec<ServiceChange>,
    /// Every change, in the form of a unified diff.
    pub diff: String,
    /// The same for programs.
    pub json: serde_json::Value,
}

/// What a comparison with the kernel came to.
pub trait Outcome {
    /// The kernel holds what it should.
    fn is_equal(&self) -> bool;

    /// How many steps it takes to get there.
    fn steps(&self) -> usize;

    /// A line of counts for each family that changes.
    fn summary(&self) -> Vec<String>;

    /// What is there, counted, for when nothing deviates: `12 rules`.
    fn holdings(&self) -> String;

    /// What there should be, part by part, where it is counted anyhow.
    fn sizes(&self) -> Vec<Size> {
        Vec::new()
    }

    /// Rules of another proxy, or of another mode, that are to go: named, a line each.
    fn removals(&self) -> Vec<String>;

    /// Rules of another proxy that stay where they are, named; they compete with ours.
    fn competitors(&self) -> Vec<String>;
}

/// Rules of one mode on one node.
pub trait Backend: Sized {
    /// A comparison with the kernel.
    type Comparison: Outcome;

    /// Settings for a snapshot on a node with these facts.
    fn new(snapshot: &Snapshot, config: &ProxyConfig, facts: &NodeFacts) -> Self;

    /// What the rules need of the kernel besides themselves.
    fn prerequisites(&self) -> Prerequisites;

    /// Reads the kernel and compares. With `take_over`, rules of another proxy are to go in the
    /// transaction that brings ours.
    ///
    /// # Errors
    /// No permission, or the kernel never held still long enough.
    fn compare<K: NftKernel>(
        &self,
        kernel: &mut K,
        snapshot: &Snapshot,
        take_over: bool,
    ) -> Result<Self::Comparison, SyncError>;

    /// Makes the kernel hold what it should, starting from a comparison already made.
    ///
    /// # Errors
    /// See [`SyncError`].
    fn commit<K: NftKernel>(
        &self,
        kernel: &mut K,
        snapshot: &Snapshot,
        comparison: Self::Comparison,
    ) -> Result<Done, SyncError>;

    /// The changes in words. Holds the text of everything that changes.
    ///
    /// # Errors
    /// What is there cannot be read.
    fn changes<K: NftKernel>(
        &self,
        kernel: &mut K,
        snapshot: &Snapshot,
        comparison: &Self::Comparison,
    ) -> Result<Vec<FamilyChanges>, SyncError>;

    /// Every deviation of the kernel from what it should hold, a line each.
    ///
    /// # Errors
    /// What is there cannot be read.
    fn deviations<K: NftKernel>(
        &self,
        kernel: &mut K,
        snapshot: &Snapshot,
        comparison: &Self::Comparison,
    ) -> Result<Vec<String>, SyncError>;
}

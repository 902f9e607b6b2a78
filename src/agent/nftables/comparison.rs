//! Whole tables compared with the kernel's, element by element: for those who want to read what
//! differs. Takes several times the room that writing it takes.

use super::read::read_table;
use crate::kernel::nft::{NftKernel, ReadError, read_consistently};
use crate::plan::nftables::{TablePlan, TableState, plan};

/// The table of one family, as it should be and as it is.
#[derive(Debug)]
pub(super) struct TableComparison {
    /// What it should hold.
    pub(super) desired: TableState,
    /// What it holds; `None` if there is no such table.
    pub(super) present: Option<TableState>,
}

impl TableComparison {
    /// The steps between the two.
    pub(super) fn plan(&self) -> TablePlan<'_> {
        plan(&self.desired, self.present.as_ref())
    }
}

/// Compares the tables that should be with the kernel's, at one generation.
///
/// # Errors
/// See [`ReadError`].
pub(super) fn compare<K: NftKernel>(
    kernel: &mut K,
    desired: Vec<TableState>,
) -> Result<Vec<TableComparison>, ReadError> {
    let (_, present) = read_consistently(kernel, |kernel| {
        let tables = desired.iter().map(|desired| read_table(kernel, desired));
        tables.collect::<Result<Vec<_>, _>>()
    })?;
    let pairs = desired.into_iter().zip(present);
    let pairs = pairs.map(|(desired, present)| TableComparison { desired, present });
    Ok(pairs.collect())
}

//! Tables compared with the kernel's.

use super::read::read_table;
use crate::agent::backend::Outcome;
use crate::agent::leftovers::{For, Leftovers};
use crate::agent::sync::{Comparison, Load, SyncError};
use crate::kernel::nft::{NftKernel, ReadError, read_consistently};
use crate::plan::nftables::{Counts, TablePlan, TableState, plan};

/// The table of one family, as it should be and as it is.
#[derive(Debug)]
pub struct TableComparison {
    /// What it should hold.
    pub desired: TableState,
    /// What it holds; `None` if there is no such table.
    pub present: Option<TableState>,
    counts: Counts,
    equal: bool,
}

/// All tables at one generation, and what another proxy left.
#[derive(Debug)]
pub struct NftablesComparison {
    generation: u32,
    /// By family, IPv4 first.
    pub tables: Vec<TableComparison>,
    leftovers: Leftovers,
}

impl TableComparison {
    fn new(desired: TableState, present: Option<TableState>) -> Self {
        let plan = plan(&desired, present.as_ref());
        let (counts, equal) = (plan.counts(), plan.is_empty());
        Self {
            desired,
            present,
            counts,
            equal,
        }
    }

    /// The steps between the two.
    #[must_use]
    pub fn plan(&self) -> TablePlan<'_> {
        plan(&self.desired, self.present.as_ref())
    }

    fn summary(&self) -> String {
        let family = self.desired.table.family;
        let counts = self.counts;
        let what = match &self.present {
            None => "new table, ",
            Some(_) if counts.replaced => "table replaced, ",
            Some(_) => "",
        };
        let mut text = format!(
            "{family}: {what}elements +{} -{}",
            counts.elements_added, counts.elements_deleted
        );
        if counts.sets_added + counts.sets_deleted > 0 {
            text += &format!(", sets +{} -{}", counts.sets_added, counts.sets_deleted);
        }
        if counts.chains_written > 0 {
            text += &format!(", chains {}", counts.chains_written);
        }
        text
    }
}

impl NftablesComparison {
    /// Compares the tables that should be with the kernel's.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn new<K: NftKernel>(
        kernel: &mut K,
        desired: Vec<TableState>,
        take_over: bool,
    ) -> Result<Self, ReadError> {
        let (generation, (present, leftovers)) = read_consistently(kernel, |kernel| {
            let leftovers = Leftovers::find(kernel, For::Nftables, take_over)?;
            let tables = desired.iter().map(|desired| read_table(kernel, desired));
            Ok((tables.collect::<Result<Vec<_>, _>>()?, leftovers))
        })?;
        let pairs = desired.into_iter().zip(present);
        Ok(Self {
            generation,
            tables: pairs
                .map(|(desired, present)| TableComparison::new(desired, present))
                .collect(),
            leftovers,
        })
    }

    /// Whether what another proxy left is to be replaced.
    pub(super) fn take_over(&self) -> bool {
        self.leftovers.take_over()
    }
}

impl Outcome for NftablesComparison {
    fn is_equal(&self) -> bool {
        self.tables.iter().all(|table| table.equal) && self.leftovers.steps() == 0
    }

    fn steps(&self) -> usize {
        let counts = self.tables.iter().map(|table| table.counts);
        let steps = counts.map(|c| c.elements_added + c.elements_deleted);
        steps.sum::<usize>() + self.leftovers.steps()
    }

    fn summary(&self) -> Vec<String> {
        let tables = self.tables.iter().filter(|table| !table.equal);
        let tables = tables.map(TableComparison::summary);
        tables
            .chain(self.removals().iter().map(|what| format!("remove {what}")))
            .collect()
    }

    fn holdings(&self) -> String {
        let tables = self.tables.iter();
        let elements = tables.map(|table| table.desired.elements());
        let chains = self.tables.iter().flat_map(|t| t.desired.chains.values());
        let rules: usize = chains.map(|chain| chain.rules.len()).sum();
        format!("{rules} rules and {} elements", elements.sum::<usize>())
    }

    fn removals(&self) -> Vec<String> {
        self.leftovers.removals()
    }

    fn competitors(&self) -> Vec<String> {
        self.leftovers.staying()
    }
}

impl Comparison for NftablesComparison {
    fn generation(&self) -> u32 {
        self.generation
    }

    fn is_equal(&self) -> bool {
        Outcome::is_equal(self)
    }

    fn emit<K: NftKernel>(&self, load: &mut Load<'_, K>) -> Result<(), SyncError> {
        for table in self.tables.iter().filter(|table| !table.equal) {
            load.begin_family()?;
            table.plan().ops(&mut |step| load.take(step))?;
        }
        self.leftovers.emit(load)
    }
}

//! Tables held in memory, compared with the kernel's.

use crate::agent::leftovers::{For, Leftovers};
use crate::agent::nftables::read::{SetCounts, read_objects};
use crate::agent::sync::{Comparison, Load, SyncError};
use crate::kernel::nft::{NftKernel, ReadError, read_consistently};
use crate::model::Snapshot;
use crate::plan::nftables::{NftRuleset, TableDelta, TableState};
use crate::plan::op::SetRef;
use crate::translate::nftables::{Adopted, Adoption, LiveTable, NftablesOptions};

/// Elements of a set that is listed to find those that nobody wants. Beyond, the square of their
/// number makes replacing the table quicker.
const LISTED: u32 = 150_000;
/// The sets whose elements come from configuration.
const CONFIGURED: [&str; 2] = ["node-port-addresses", "service-cidrs"];

/// What has to happen to one table.
#[derive(Debug)]
enum Step {
    /// It is written whole; in place of one that is there, or not.
    Load { replaces: bool },
    /// It stays; this changes.
    Change(TableDelta),
}

/// Tables with what the kernel lacks of them, at one generation.
#[derive(Debug)]
pub(super) struct LiveComparison {
    generation: u32,
    tables: Vec<(LiveTable, Step)>,
    leftovers: Leftovers,
}

impl LiveComparison {
    /// Translates a snapshot and compares.
    pub(super) fn new<K: NftKernel>(
        kernel: &mut K,
        snapshot: &Snapshot,
        options: &[NftablesOptions],
        take_over: bool,
    ) -> Result<Self, ReadError> {
        let options = options.iter().cloned();
        let tables: Vec<_> = options.map(|o| LiveTable::new(snapshot, o)).collect();
        Self::of(kernel, tables, take_over)
    }

    /// Compares tables with the kernel's.
    pub(super) fn of<K: NftKernel>(
        kernel: &mut K,
        mut tables: Vec<LiveTable>,
        take_over: bool,
    ) -> Result<Self, ReadError> {
        let (generation, (steps, leftovers)) = read_consistently(kernel, |kernel| {
            let leftovers = Leftovers::find(kernel, For::Nftables, take_over)?;
            let steps = tables.iter_mut().map(|table| step(kernel, table));
            Ok((steps.collect::<Result<Vec<_>, _>>()?, leftovers))
        })?;
        Ok(Self {
            generation,
            tables: tables.into_iter().zip(steps).collect(),
            leftovers,
        })
    }

    /// Rules of another proxy that stay.
    pub(super) fn competitors(&self) -> Vec<String> {
        self.leftovers.staying()
    }

    /// The changes of tables that stay.
    pub(super) fn changes(&self) -> impl Iterator<Item = &TableDelta> {
        let steps = self.tables.iter().map(|(_, step)| step);
        steps.filter_map(|step| match step {
            Step::Change(delta) => Some(delta),
            Step::Load { .. } => None,
        })
    }

    /// The tables alone, when the kernel holds them.
    pub(super) fn into_tables(self) -> Vec<LiveTable> {
        self.tables.into_iter().map(|(table, _)| table).collect()
    }
}

impl Comparison for LiveComparison {
    fn generation(&self) -> u32 {
        self.generation
    }

    fn is_equal(&self) -> bool {
        let equal = |step: &Step| matches!(step, Step::Change(delta) if delta.is_empty());
        self.tables.iter().all(|(_, step)| equal(step)) && self.leftovers.steps() == 0
    }

    fn emit<K: NftKernel>(&self, load: &mut Load<'_, K>) -> Result<(), SyncError> {
        for (table, step) in &self.tables {
            load.begin_family()?;
            match step {
                Step::Load { replaces } => table.load(*replaces, &mut |step| load.take(step))?,
                Step::Change(delta) => delta.ops(&mut |step| load.take(step))?,
            }
        }
        self.leftovers.emit(load)
    }
}

fn step<K: NftKernel>(kernel: &mut K, table: &mut LiveTable) -> Result<Step, ReadError> {
    let Some((mut present, counts)) = read_objects(kernel, &table.table())? else {
        return Ok(Step::Load { replaces: false });
    };
    for set in CONFIGURED {
        if !present.sets.contains_key(set) {
            continue;
        }
        let name = set_ref(table, set);
        kernel.dump_elements(&name, &mut |view| {
            present.add_element(set, view.to_element());
        })?;
    }
    match adopt(kernel, table, &present)? {
        Adoption::Replace => Ok(Step::Load { replaces: true }),
        Adoption::Keep(adopted) => without_strangers(kernel, table, adopted, &counts),
    }
}

fn adopt<K: NftKernel>(
    kernel: &mut K,
    table: &mut LiveTable,
    present: &TableState,
) -> Result<Adoption, ReadError> {
    let family_table = table.table();
    table.adopt(present, &mut |set, keys, visit| {
        let set = SetRef {
            table: family_table.clone(),
            name: set.into(),
        };
        kernel.get_elements(&set, keys, &mut |index, view| {
            visit(index, view.map(|view| view.to_element()));
        })
    })
}

/// Finds the elements that nobody wants, by their number first.
fn without_strangers<K: NftKernel>(
    kernel: &mut K,
    table: &LiveTable,
    mut adopted: Adopted,
    counts: &SetCounts,
) -> Result<Step, ReadError> {
    for (name, count) in counts {
        let Some(found) = adopted.found.get(name) else {
            continue;
        };
        if count.is_some_and(|count| usize::try_from(count) == Ok(*found)) {
            continue;
        }
        if count.is_some_and(|count| count > LISTED) {
            return Ok(Step::Load { replaces: true });
        }
        let set = set_ref(table, name);
        let strangers = table.strangers(name, |visit| {
            kernel.dump_elements(&set, &mut |view| visit(view.to_element()))
        })?;
        if !strangers.is_empty() {
            adopted.delete(name, strangers);
        }
    }
    Ok(Step::Change(adopted.delta))
}

fn set_ref(table: &LiveTable, name: &str) -> SetRef {
    SetRef {
        table: table.table(),
        name: name.into(),
    }
}
